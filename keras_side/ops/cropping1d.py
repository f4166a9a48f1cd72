"""Keras ``Cropping1D`` <-> `ops.Cropping1D`."""

from __future__ import annotations

from biport import ops
from keras_side.records import LayerRecord, WrittenLayer
from keras_side.registry import reads, writes


@reads("Cropping1D")
def read_cropping1d(record: LayerRecord) -> ops.Cropping1D:
    """Read a Cropping1D; the mask ends here."""
    with record.settings() as config:
        cropping = config.take("cropping", (list, tuple))
    return ops.Cropping1D(cropping=tuple(cropping))


@writes(ops.Cropping1D)
def write_cropping1d(op: ops.Cropping1D) -> WrittenLayer:
    """Write a Cropping1D."""
    return WrittenLayer(class_name="Cropping1D", config={"cropping": op.cropping})
