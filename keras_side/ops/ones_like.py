"""`ops.OnesLike` -> ``keras.ops``; read as part of the masks, in `keras_side.operations`."""

from __future__ import annotations

from biport import ops
from keras_side.records import WrittenLayer
from keras_side.registry import writes


@writes(ops.OnesLike)
def write_ones_like(op: ops.OnesLike) -> WrittenLayer:
    """Write the mask of every step: `keras_side.write` takes off what is behind N and T."""
    return WrittenLayer(class_name="ones_like", config={"dtype": "bool"}, is_operation=True)
