"""Products -> ``keras.ops.matmul`` and ``keras.ops.einsum``; read in `keras_side.reading.operations`."""

from __future__ import annotations

from typing import Any

from biport import ops
from keras_side.records import WrittenOperation
from keras_side.registry import writes


@writes(ops.MatMul)
def write_mat_mul(op: ops.MatMul) -> WrittenOperation:
    """Write ``keras.ops.matmul``."""

    def apply(keras: Any, a: Any, b: Any) -> Any:
        return keras.ops.matmul(a, b)

    return WrittenOperation(apply)


@writes(ops.Einsum)
def write_einsum(op: ops.Einsum) -> WrittenOperation:
    """Write ``keras.ops.einsum``."""

    def apply(keras: Any, *operands: Any) -> Any:
        return keras.ops.einsum(op.equation, *operands)

    return WrittenOperation(apply)
