"""Keras ``LeakyReLU`` <-> `ops.LeakyReLU`."""

from __future__ import annotations

from biport import ops
from keras_side.masks import pass_mask
from keras_side.records import LayerRecord, WrittenLayer
from keras_side.registry import reads, writes


@reads("LeakyReLU", masks=pass_mask)
def read_leaky_re_lu(record: LayerRecord) -> ops.LeakyReLU:
    """Read a LeakyReLU."""
    with record.settings() as config:
        negative_slope = config.take("negative_slope", (int, float))
    return ops.LeakyReLU(negative_slope=float(negative_slope))


@writes(ops.LeakyReLU)
def write_leaky_re_lu(op: ops.LeakyReLU) -> WrittenLayer:
    """Write a LeakyReLU."""
    return WrittenLayer(class_name="LeakyReLU", config={"negative_slope": op.negative_slope})
