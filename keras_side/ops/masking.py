"""Keras ``Masking`` <-> `ops.Masking`."""

from __future__ import annotations

import numpy as np

from biport import ops
from biport.errors import UnsupportedError
from keras_side.ops.features_not_equal import start_mask
from keras_side.records import LayerRecord, WrittenLayer
from keras_side.registry import reads, writes


@reads("Masking", masks=start_mask)
def read_masking(record: LayerRecord) -> ops.Masking:
    """Read a Masking; it replaces the mask its input carries."""
    with record.settings() as config:
        value = config.take("mask_value", (int, float), default=0.0)
        if float(np.float32(value)) != value:
            raise UnsupportedError(record.owner, "mask_value", value, "numbers that float32 holds exactly")
    return ops.Masking(mask_value=float(value))


@writes(ops.Masking)
def write_masking(op: ops.Masking) -> WrittenLayer:
    """Write a Masking."""
    return WrittenLayer(class_name="Masking", config={"mask_value": op.mask_value})
