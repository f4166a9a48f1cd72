"""Keras ``Minimum`` <-> `ops.Minimum`."""

from __future__ import annotations

from biport import ops
from keras_side.masks import any_if_all
from keras_side.records import LayerRecord, WrittenLayer
from keras_side.registry import reads, writes


@reads("Minimum", masks=any_if_all)
def read_minimum(record: LayerRecord) -> ops.Minimum:
    """Read a Minimum; its result depends on the masks its inputs carry."""
    with record.settings():
        return ops.Minimum()


@writes(ops.Minimum)
def write_minimum(op: ops.Minimum) -> WrittenLayer:
    """Write a Minimum; its result depends on the masks its inputs carry."""
    return WrittenLayer(class_name="Minimum", config={}, takes_list=True)
