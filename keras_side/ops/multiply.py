"""Keras ``Multiply`` <-> `ops.Multiply`."""

from __future__ import annotations

from biport import ops
from keras_side.masks import any_if_all
from keras_side.records import LayerRecord, WrittenLayer
from keras_side.registry import reads, writes


@reads("Multiply", masks=any_if_all)
def read_multiply(record: LayerRecord) -> ops.Multiply:
    """Read a Multiply; its result depends on the masks its inputs carry."""
    with record.settings():
        return ops.Multiply()


@writes(ops.Multiply)
def write_multiply(op: ops.Multiply) -> WrittenLayer:
    """Write a Multiply; its result depends on the masks its inputs carry."""
    return WrittenLayer(class_name="Multiply", config={}, takes_list=True)
