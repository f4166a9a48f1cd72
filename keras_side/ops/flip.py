"""`ops.Flip` <-> ``keras.ops.flip``; read as an operation, in `keras_side.data_operations`."""

from __future__ import annotations

from biport import ops
from keras_side.records import WrittenLayer
from keras_side.registry import writes


@writes(ops.Flip)
def write_flip(op: ops.Flip) -> WrittenLayer:
    """Write the steps in reverse order."""
    return WrittenLayer(class_name="flip", config={"axis": 1}, is_operation=True)
