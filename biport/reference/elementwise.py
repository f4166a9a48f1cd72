"""The ops of `biport.ops.elementwise`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np

from biport.ops import Cast, Clip, Elementwise, Where
from biport.reference.registry import Arrays, Masks, computes

erf = np.vectorize(math.erf, otypes=["float64"])

FUNCTIONS: Mapping[str, Callable[..., np.ndarray]] = {
    "negative": np.negative,
    "abs": np.abs,
    "sign": np.sign,
    "square": np.square,
    "exp": np.exp,
    "expm1": np.expm1,
    "log": np.log,
    "log1p": np.log1p,
    "log2": np.log2,
    "log10": np.log10,
    "sqrt": np.sqrt,
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "reciprocal": lambda x: 1 / x,
    "erf": lambda x: erf(x).astype(x.dtype),
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "sinh": np.sinh,
    "cosh": np.cosh,
    "asin": np.arcsin,
    "acos": np.arccos,
    "atan": np.arctan,
    "asinh": np.arcsinh,
    "acosh": np.arccosh,
    "atanh": np.arctanh,
    "floor": np.floor,
    "ceil": np.ceil,
    "round": np.round,
    "trunc": np.trunc,
    "isfinite": np.isfinite,
    "isnan": np.isnan,
    "isinf": np.isinf,
    "logical_not": np.logical_not,
    "add": np.add,
    "subtract": np.subtract,
    "multiply": np.multiply,
    "divide": np.divide,
    "pow": np.power,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "floor_divide": np.floor_divide,
    "remainder": np.remainder,
    "atan2": np.arctan2,
    "equal": np.equal,
    "not_equal": np.not_equal,
    "less": np.less,
    "less_equal": np.less_equal,
    "greater": np.greater,
    "greater_equal": np.greater_equal,
    "logical_and": np.logical_and,
    "logical_or": np.logical_or,
    "logical_xor": np.logical_xor,
}


@computes(Elementwise)
def elementwise(op: Elementwise, inputs: Arrays, masks: Masks) -> tuple[np.ndarray, ...]:
    """Shapes that broadcast; a number there is none for is NaN or infinite."""
    with np.errstate(all="ignore"):
        return (np.asarray(FUNCTIONS[op.function](*inputs)),)


@computes(Where)
def where(op: Where, inputs: Arrays, masks: Masks) -> tuple[np.ndarray, ...]:
    """Shapes that broadcast."""
    return (np.where(*inputs),)


@computes(Clip)
def clip(op: Clip, inputs: Arrays, masks: Masks) -> tuple[np.ndarray, ...]:
    """Any shape."""
    (x,) = inputs
    low, high = (None if limit is None else x.dtype.type(limit) for limit in (op.min, op.max))
    return (np.clip(x, low, high),)


@computes(Cast)
def cast(op: Cast, inputs: Arrays, masks: Masks) -> tuple[np.ndarray, ...]:
    """Any shape."""
    with np.errstate(invalid="ignore"):
        return (inputs[0].astype(op.output_dtype),)
