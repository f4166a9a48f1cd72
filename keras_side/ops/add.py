"""Keras ``Add`` <-> `ops.Add`."""

from __future__ import annotations

from biport import ops
from keras_side.masks import any_if_all
from keras_side.records import LayerRecord, WrittenLayer
from keras_side.registry import reads, writes


@reads("Add", masks=any_if_all)
def read_add(record: LayerRecord) -> ops.Add:
    """Read an Add."""
    with record.settings():
        return ops.Add()


@writes(ops.Add)
def write_add(op: ops.Add) -> WrittenLayer:
    """Write an Add."""
    return WrittenLayer(class_name="Add", config={}, takes_list=True)
