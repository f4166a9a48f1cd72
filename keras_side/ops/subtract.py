"""Keras ``Subtract`` <-> `ops.Subtract`."""

from __future__ import annotations

from biport import ops
from keras_side.masks import any_if_all
from keras_side.records import LayerRecord, WrittenLayer
from keras_side.registry import reads, writes


@reads("Subtract", masks=any_if_all)
def read_subtract(record: LayerRecord) -> ops.Subtract:
    """Read a Subtract."""
    with record.settings():
        return ops.Subtract()


@writes(ops.Subtract)
def write_subtract(op: ops.Subtract) -> WrittenLayer:
    """Write a Subtract."""
    return WrittenLayer(class_name="Subtract", config={}, takes_list=True)
