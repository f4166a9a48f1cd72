"""Operations on each element -> ``keras.ops``; read in `keras_side.reading.operations`.

What is said of TensorFlow was measured with Keras 3.15.1 on TensorFlow 2.21.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from biport import ops
from keras_side.records import WrittenOperation
from keras_side.registry import writes
from keras_side.shared.addition import added

NAMES: Mapping[str, str] = {
    "asin": "arcsin",
    "acos": "arccos",
    "atan": "arctan",
    "asinh": "arcsinh",
    "acosh": "arccosh",
    "atanh": "arctanh",
    "atan2": "arctan2",
    "pow": "power",
    "remainder": "mod",
}
"""What Keras calls functions that it does not call as we do."""

ROUNDING = frozenset(
    {
        *("remainder", "floor_divide", "atan2"),
        *("equal", "not_equal", "less", "less_equal", "greater", "greater_equal"),
    }
)
"""Functions for which TensorFlow rounds a number beside a float64 tensor to float32."""


@writes(ops.Elementwise)
def write_elementwise(op: ops.Elementwise) -> WrittenOperation:
    """Write the function of ``keras.ops``."""

    def apply(keras: Any, *inputs: Any) -> Any:
        operands = _tensors(keras, inputs) if op.function in ROUNDING else inputs
        special = SPECIAL.get(op.function)
        if special is not None:
            return special(keras, *operands)
        return getattr(keras.ops, NAMES.get(op.function, op.function))(*operands)

    return WrittenOperation(apply)


def _tensors(keras: Any, inputs: tuple[Any, ...]) -> list[Any]:
    """The inputs of a function, numbers as tensors where they are not what float32 holds."""
    import numpy as np

    tensor = next((x for x in inputs if isinstance(x, keras.KerasTensor)), None)
    if tensor is None or tensor.dtype != "float64":
        return list(inputs)
    return [
        keras.ops.full_like(tensor, x) if isinstance(x, float) and float(np.float32(x)) != x else x
        for x in inputs
    ]


def _reciprocal(keras: Any, x: Any) -> Any:
    """By a division: Keras says that the reciprocal of a float64 is a float32."""
    return keras.ops.divide(1.0, x)


def _erf(keras: Any, x: Any) -> Any:
    """In float64 of numbers in reach: TensorFlow's of an infinite one is NaN, and from 6 on it is 1."""
    return keras.ops.erf(keras.ops.clip(x, -8.0, 8.0) if x.dtype == "float64" else x)


def _floor_divide(keras: Any, x: Any, y: Any) -> Any:
    """Of floats by the remainder: TensorFlow rounds the quotient before it is cut, so that 1 // 0.1 is 10."""
    floats = any(getattr(part, "dtype", "").startswith("float") for part in (x, y))
    if not floats:
        return keras.ops.floor_divide(x, y)
    quotient: Any = keras.ops.divide(x, y)
    whole = keras.ops.round(keras.ops.divide(keras.ops.subtract(x, keras.ops.mod(x, y)), y))
    # Over 0 there is no remainder.
    return keras.ops.where(keras.ops.isfinite(quotient), whole, quotient)


SPECIAL = {"add": added, "reciprocal": _reciprocal, "erf": _erf, "floor_divide": _floor_divide}


@writes(ops.Where)
def write_where(op: ops.Where) -> WrittenOperation:
    """Write ``keras.ops.where``."""

    def apply(keras: Any, condition: Any, x: Any, y: Any) -> Any:
        return keras.ops.where(condition, x, y)

    return WrittenOperation(apply)


@writes(ops.Clip)
def write_clip(op: ops.Clip) -> WrittenOperation:
    """Write ``keras.ops.clip``, or the maximum or minimum where there is one limit alone."""

    def apply(keras: Any, x: Any) -> Any:
        whole = getattr(x, "dtype", "").startswith("int")
        low, high = (limit if limit is None or not whole else int(limit) for limit in (op.min, op.max))
        if high is None:
            return keras.ops.maximum(x, low)
        if low is None:
            return keras.ops.minimum(x, high)
        # Its own `clip` leaves it to the framework what limits in the wrong order make.
        return (
            keras.ops.clip(x, low, high)
            if low <= high
            else keras.ops.minimum(keras.ops.maximum(x, low), high)
        )

    return WrittenOperation(apply)


@writes(ops.Cast)
def write_cast(op: ops.Cast) -> WrittenOperation:
    """Write ``keras.ops.cast``."""

    def apply(keras: Any, x: Any) -> Any:
        return keras.ops.cast(x, op.output_dtype)

    return WrittenOperation(apply)
