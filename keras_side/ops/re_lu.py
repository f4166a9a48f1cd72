"""Keras ``ReLU`` <-> `ops.ReLU`."""

from __future__ import annotations

from biport import ops
from keras_side.masks import pass_mask
from keras_side.records import LayerRecord, WrittenLayer
from keras_side.registry import reads, writes


@reads("ReLU", masks=pass_mask)
def read_re_lu(record: LayerRecord) -> ops.ReLU:
    """Read a ReLU."""
    with record.settings() as config:
        max_value = config.take("max_value", (int, float, type(None)), default=None)
        negative_slope = config.take("negative_slope", (int, float), default=0.0)
        threshold = config.take("threshold", (int, float), default=0.0)
    return ops.ReLU(
        max_value=max_value if max_value is None else float(max_value),
        negative_slope=float(negative_slope),
        threshold=float(threshold),
    )


@writes(ops.ReLU)
def write_re_lu(op: ops.ReLU) -> WrittenLayer:
    """Write a ReLU."""
    return WrittenLayer(
        class_name="ReLU",
        config={"max_value": op.max_value, "negative_slope": op.negative_slope, "threshold": op.threshold},
    )
