"""`ops.LogicalAnd` -> ``keras.ops.logical_and``; read as part of the masks, in `keras_side.operations`."""

from __future__ import annotations

from biport import ops
from keras_side.records import WrittenLayer
from keras_side.registry import writes


@writes(ops.LogicalAnd)
def write_logical_and(op: ops.LogicalAnd) -> WrittenLayer:
    """Write what masks have in common."""
    return WrittenLayer(class_name="logical_and", config={}, is_operation=True)
