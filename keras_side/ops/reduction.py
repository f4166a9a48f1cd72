"""Operations that take axes together -> ``keras.ops``; read in `keras_side.reading.operations`."""

from __future__ import annotations

from typing import Any

from biport import ops
from keras_side.records import WrittenOperation
from keras_side.registry import writes


@writes(ops.Reduction)
def write_reduction(op: ops.Reduction) -> WrittenOperation:
    """Write the function of its name; over no axes there is nothing to write."""

    def apply(keras: Any, x: Any) -> Any:
        over = {"axis": op.axes[0] if len(op.axes) == 1 else op.axes, "keepdims": op.keepdims}
        if not op.axes:
            return x
        if op.function == "norm":
            return _norm(keras, op, x, over)
        reduced = getattr(keras.ops, op.function)(x, **over)
        return _corrected(keras, op, x, reduced, over) if op.correction else reduced

    return WrittenOperation(apply)


def _norm(keras: Any, op: ops.Reduction, x: Any, over: dict[str, Any]) -> Any:
    """Spelled out: ``keras.ops.norm`` over two axes is that of a matrix."""
    match op.order:
        case 1:
            return keras.ops.sum(keras.ops.absolute(x), **over)
        case 2:
            return keras.ops.sqrt(keras.ops.sum(keras.ops.square(x), **over))
    return keras.ops.max(keras.ops.absolute(x), **over)


def _corrected(keras: Any, op: ops.Reduction, x: Any, reduced: Any, over: dict[str, Any]) -> Any:
    """Divided by the number of elements less the correction, which ``keras.ops.var`` does not take."""
    # A sum of ones: the number of elements may be known only when it runs.
    count: Any = keras.ops.sum(keras.ops.ones_like(x), **over)
    factor = count / keras.ops.maximum(count - op.correction, 0)
    return reduced * (keras.ops.sqrt(factor) if op.function == "std" else factor)


@writes(ops.ArgReduction)
def write_arg_reduction(op: ops.ArgReduction) -> WrittenOperation:
    """Write ``argmax`` or ``argmin``, which give int32, and for which -0.0 is less than 0.0.

    Source:
        keras/src/backend/tensorflow/numpy.py of 3.15
    """

    def apply(keras: Any, x: Any) -> Any:
        function = getattr(keras.ops, op.function)
        return keras.ops.cast(function(x, axis=op.axis, keepdims=op.keepdims), "int64")

    return WrittenOperation(apply)


@writes(ops.CumulativeSum)
def write_cumulative_sum(op: ops.CumulativeSum) -> WrittenOperation:
    """Write ``cumsum``."""

    def apply(keras: Any, x: Any) -> Any:
        return keras.ops.cumsum(x, axis=op.axis)

    return WrittenOperation(apply)


@writes(ops.LogSoftmax)
def write_log_softmax(op: ops.LogSoftmax) -> WrittenOperation:
    """Write ``log_softmax``."""

    def apply(keras: Any, x: Any) -> Any:
        return keras.ops.log_softmax(x, axis=op.axis)

    return WrittenOperation(apply)
