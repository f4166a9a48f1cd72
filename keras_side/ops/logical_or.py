"""`ops.LogicalOr` -> ``keras.ops.logical_or``; read as part of the masks, in `keras_side.operations`."""

from __future__ import annotations

from biport import ops
from keras_side.records import WrittenLayer
from keras_side.registry import writes


@writes(ops.LogicalOr)
def write_logical_or(op: ops.LogicalOr) -> WrittenLayer:
    """Write the union of masks."""
    return WrittenLayer(class_name="logical_or", config={}, is_operation=True)
