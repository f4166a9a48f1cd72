"""Layers over ``(N, I, T)``, Keras' ``channels_first``: those over ``(N, T, I)`` with axes swapped around."""

from __future__ import annotations

import dataclasses

from keras_side.records import LayerRecord

LAYERS = (
    *("AveragePooling1D", "AvgPool1D", "MaxPooling1D", "MaxPool1D", "Conv1D", "Convolution1D"),
    *("GlobalAveragePooling1D", "GlobalAvgPool1D", "GlobalMaxPooling1D", "GlobalMaxPool1D", "ZeroPadding1D"),
)
"""Each gives what its twin over ``(N, T, I)`` gives: measured on Keras 3.15 with TensorFlow, on the CPU."""


def channels_last(record: LayerRecord) -> LayerRecord | None:
    """The same layer over ``(N, T, I)``, whose weights are laid out alike; ``None`` for any other."""
    if record.class_name not in LAYERS or record.config.get("data_format") != "channels_first":
        return None
    return dataclasses.replace(record, config={**record.config, "data_format": "channels_last"})
