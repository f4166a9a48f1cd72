"""`ops.NotEqual` -> ``keras.ops.not_equal``; read as part of the masks, in `keras_side.operations`."""

from __future__ import annotations

from biport import ops
from keras_side.records import WrittenLayer
from keras_side.registry import writes


@writes(ops.NotEqual)
def write_not_equal(op: ops.NotEqual) -> WrittenLayer:
    """Write the comparison of ids with the padding id."""
    return WrittenLayer(class_name="not_equal", config={"x2": op.value}, is_operation=True)
