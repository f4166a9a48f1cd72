"""Keras ``Identity`` <-> `ops.Identity`."""

from __future__ import annotations

from biport import ops
from keras_side.masks import pass_mask
from keras_side.records import LayerRecord, WrittenLayer
from keras_side.registry import reads, writes


@reads("Identity", masks=pass_mask)
def read_identity(record: LayerRecord) -> ops.Identity:
    """Read an Identity."""
    with record.settings():
        pass
    return ops.Identity()


@writes(ops.Identity)
def write_identity(op: ops.Identity) -> WrittenLayer:
    """Write an Identity."""
    return WrittenLayer(class_name="Identity", config={})
