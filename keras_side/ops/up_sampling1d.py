"""Keras ``UpSampling1D`` <-> `ops.UpSampling1D`."""

from __future__ import annotations

from biport import ops
from keras_side.records import LayerRecord, WrittenLayer
from keras_side.registry import reads, writes


@reads("UpSampling1D")
def read_up_sampling1d(record: LayerRecord) -> ops.UpSampling1D:
    """Read an UpSampling1D; the mask ends here."""
    with record.settings() as config:
        size = config.take("size", int)
    return ops.UpSampling1D(size=size)


@writes(ops.UpSampling1D)
def write_up_sampling1d(op: ops.UpSampling1D) -> WrittenLayer:
    """Write an UpSampling1D."""
    return WrittenLayer(class_name="UpSampling1D", config={"size": op.size})
