"""Keras ``Softmax`` <-> `ops.Softmax`."""

from __future__ import annotations

from biport import ops
from keras_side.masks import pass_mask
from keras_side.records import LayerRecord, WrittenLayer
from keras_side.registry import reads, writes


@reads("Softmax", masks=pass_mask)
def read_softmax(record: LayerRecord) -> ops.Softmax:
    """Read a Softmax; scores under a mask give 0 there, see `ops.Softmax`."""
    with record.settings() as config:
        axis = config.take("axis", (int, list, tuple), default=-1)
    return ops.Softmax(axis=axis if isinstance(axis, int) else tuple(axis))


@writes(ops.Softmax)
def write_softmax(op: ops.Softmax) -> WrittenLayer:
    """Write a Softmax."""
    return WrittenLayer(class_name="Softmax", config={"axis": op.axis})
