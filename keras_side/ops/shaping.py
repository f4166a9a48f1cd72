"""Operations that move elements -> ``keras.ops``; read in `keras_side.reading.operations`."""

from __future__ import annotations

from typing import Any

from biport import ops
from keras_side.records import WrittenOperation
from keras_side.registry import writes


@writes(ops.ReshapeTo)
def write_reshape_to(op: ops.ReshapeTo) -> WrittenOperation:
    """Write ``keras.ops.reshape``."""

    def apply(x: Any, dims: Any = ()) -> Any:
        import keras

        return keras.ops.reshape(x, tuple(dims))

    return WrittenOperation(apply, op.shape)


@writes(ops.Flip)
def write_flip(op: ops.Flip) -> WrittenOperation:
    """Write ``keras.ops.flip``."""

    def apply(x: Any) -> Any:
        import keras

        return keras.ops.flip(x, axis=op.axes)

    return WrittenOperation(apply)
