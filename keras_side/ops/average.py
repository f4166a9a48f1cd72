"""Keras ``Average`` <-> `ops.Average`."""

from __future__ import annotations

from biport import ops
from keras_side.masks import any_if_all
from keras_side.records import LayerRecord, WrittenLayer
from keras_side.registry import reads, writes


@reads("Average", masks=any_if_all)
def read_average(record: LayerRecord) -> ops.Average:
    """Read an Average."""
    with record.settings():
        return ops.Average()


@writes(ops.Average)
def write_average(op: ops.Average) -> WrittenLayer:
    """Write an Average."""
    return WrittenLayer(class_name="Average", config={}, takes_list=True)
