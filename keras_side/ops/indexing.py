"""Operations that look elements up, or order them -> ``keras.ops``; read in `keras_side.reading.operations`.

Positions are int32 there. On TensorFlow, which sorts by ``top_k``, equal numbers stay in their order.
"""

from __future__ import annotations

from typing import Any

from biport import ops
from biport.ops import FLOATS
from keras_side.records import WrittenOperation
from keras_side.registry import writes


@writes(ops.Take)
def write_take(op: ops.Take) -> WrittenOperation:
    """Write ``take``."""

    def apply(keras: Any, x: Any, indices: Any) -> Any:
        return keras.ops.take(x, indices, axis=op.axis)

    return WrittenOperation(apply)


@writes(ops.TakeAlongAxis)
def write_take_along_axis(op: ops.TakeAlongAxis) -> WrittenOperation:
    """Write ``take_along_axis``."""

    def apply(keras: Any, x: Any, indices: Any) -> Any:
        return keras.ops.take_along_axis(x, indices, axis=op.axis)

    return WrittenOperation(apply)


@writes(ops.StepAt)
def write_step_at(op: ops.StepAt) -> WrittenOperation:
    """Write ``take_along_axis`` of one step a row."""

    def apply(keras: Any, x: Any, steps: Any) -> Any:
        wide: Any = keras.ops.expand_dims(steps, tuple(range(1, len(x.shape))))
        return keras.ops.squeeze(keras.ops.take_along_axis(x, wide, axis=1), axis=1)

    return WrittenOperation(apply)


@writes(ops.OneHot)
def write_one_hot(op: ops.OneHot) -> WrittenOperation:
    """Write ``one_hot``."""

    def apply(keras: Any, x: Any) -> Any:
        return keras.ops.one_hot(x, op.num_classes, dtype=op.output_dtype)

    return WrittenOperation(apply)


@writes(ops.TopK)
def write_top_k(op: ops.TopK) -> WrittenOperation:
    """Write ``top_k``, which is along the last axis and of the largest."""

    def apply(keras: Any, x: Any) -> Any:
        last = op.axis % len(x.shape) == len(x.shape) - 1
        given = x if last else keras.ops.moveaxis(x, op.axis, -1)
        both: Any = keras.ops.top_k(given if op.largest else _opposite(given), op.k)
        values, positions = both
        outputs = values if op.largest else _opposite(values), keras.ops.cast(positions, "int64")
        return list(outputs) if last else [keras.ops.moveaxis(y, -1, op.axis) for y in outputs]

    return WrittenOperation(apply)


@writes(ops.Sort)
def write_sort(op: ops.Sort) -> WrittenOperation:
    """Write ``sort``, which is in ascending order."""

    def apply(keras: Any, x: Any) -> Any:
        ascending = keras.ops.sort(x, axis=op.axis)
        return keras.ops.flip(ascending, axis=op.axis) if op.descending else ascending

    return WrittenOperation(apply)


@writes(ops.ArgSort)
def write_arg_sort(op: ops.ArgSort) -> WrittenOperation:
    """Write ``argsort``, which is in ascending order."""

    def apply(keras: Any, x: Any) -> Any:
        return keras.ops.cast(keras.ops.argsort(_opposite(x) if op.descending else x, axis=op.axis), "int64")

    return WrittenOperation(apply)


def _opposite(x: Any) -> Any:
    """Numbers in the opposite order, each of its own; of integers ``-x`` would overflow."""
    return -x if x.dtype in FLOATS else -1 - x
