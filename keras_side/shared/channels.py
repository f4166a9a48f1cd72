"""Layers over ``(N, I, *T)``, Keras' ``channels_first``: those over ``(N, *T, I)``, features moved."""

from __future__ import annotations

import dataclasses
import re

from keras_side.records import LayerRecord

LAYERS = re.compile(
    r"(Depthwise|Separable)?Conv(olution)?[123]D(Transpose)?|(Global)?(Average|Avg|Max)Pool(ing)?[123]D|"
    r"(ZeroPadding|Cropping|UpSampling|SpatialDropout)[123]D|Flatten|ConvLSTM[123]D"
)
"""Each gives what its twin over ``(N, *T, I)`` gives: measured on Keras 3.15 with TensorFlow, on the CPU, as
far as that computes it; of convolutions over two axes and more it does not always."""


def channels_last(record: LayerRecord) -> LayerRecord | None:
    """The same layer over ``(N, *T, I)``, whose weights are laid out alike; ``None`` for any other."""
    if not LAYERS.fullmatch(record.class_name) or record.config.get("data_format") != "channels_first":
        return None
    return dataclasses.replace(record, config={**record.config, "data_format": "channels_last"})


def to_last(rank: int, axes: int) -> tuple[int, ...]:
    """The ``dims`` of the `Permute` that moves the features of a tensor of this rank behind its ``axes``.

    Example:
        >>> to_last(4, 2), to_first(4, 2)
        ((2, 3, 1), (3, 1, 2))
        >>> to_last(5, 2)  # (N, T, I, H, W)
        (1, 3, 4, 2)
    """
    first = rank - axes - 1
    return (*range(1, first), *range(first + 1, rank), first)


def to_first(rank: int, axes: int) -> tuple[int, ...]:
    """The ``dims`` of the `Permute` that moves the features in front of the ``axes``."""
    first = rank - axes - 1
    return (*range(1, first), rank - 1, *range(first, rank - 1))
