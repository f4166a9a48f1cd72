"""Keras ``Maximum`` <-> `ops.Maximum`."""

from __future__ import annotations

from biport import ops
from keras_side.masks import any_if_all
from keras_side.records import LayerRecord, WrittenLayer
from keras_side.registry import reads, writes


@reads("Maximum", masks=any_if_all)
def read_maximum(record: LayerRecord) -> ops.Maximum:
    """Read a Maximum; its result depends on the masks its inputs carry."""
    with record.settings():
        return ops.Maximum()


@writes(ops.Maximum)
def write_maximum(op: ops.Maximum) -> WrittenLayer:
    """Write a Maximum; its result depends on the masks its inputs carry."""
    return WrittenLayer(class_name="Maximum", config={}, takes_list=True)
