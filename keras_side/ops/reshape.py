"""Keras ``Reshape`` <-> `ops.Reshape`."""

from __future__ import annotations

from biport import ops
from keras_side.records import LayerRecord, WrittenLayer
from keras_side.registry import reads, writes


@reads("Reshape")
def read_reshape(record: LayerRecord) -> ops.Reshape:
    """Read a Reshape; the mask ends here, even where the shape stays."""
    with record.settings() as config:
        target_shape = config.take("target_shape", (list, tuple))
    return ops.Reshape(target_shape=tuple(target_shape))


@writes(ops.Reshape)
def write_reshape(op: ops.Reshape) -> WrittenLayer:
    """Write a Reshape."""
    return WrittenLayer(class_name="Reshape", config={"target_shape": op.target_shape})
