"""Operations on each element: one ONNX operator where there is one, else the few that say the same.

What is said of onnxruntime was measured with 1.31 on the CPU.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
import onnx_ir as ir

from biport.ops import INTEGERS, Cast, Clip, Elementwise, Where
from export.onnx.builder import Scope
from export.onnx.elementwise import elementwise
from export.onnx.lazy_value import LazyValue
from export.onnx.site import Site
from export.registry import writes

OPERATORS: Mapping[str, str] = {
    **{name: name.capitalize() for name in ("abs", "exp", "log", "sqrt", "reciprocal", "erf")},
    **{name: name.capitalize() for name in ("sin", "cos", "tan", "sinh", "cosh", "asin", "acos", "atan")},
    **{name: name.capitalize() for name in ("asinh", "acosh", "atanh", "floor", "ceil", "round", "add")},
    **{name: name.capitalize() for name in ("pow", "equal", "less", "greater")},
    "negative": "Neg",
    "isnan": "IsNaN",
    "isinf": "IsInf",
    "logical_not": "Not",
    "subtract": "Sub",
    "multiply": "Mul",
    "divide": "Div",
    "maximum": "Max",
    "minimum": "Min",
    "less_equal": "LessOrEqual",
    "greater_equal": "GreaterOrEqual",
    "logical_and": "And",
    "logical_or": "Or",
    "logical_xor": "Xor",
}
"""The functions that one operator computes."""


def _number(value: float) -> np.ndarray:
    return np.asarray(value, "float32")


ZERO, ONE = _number(0), _number(1)
PI = _number(math.pi)


def _sign(scope: Scope, x: ir.Value) -> ir.Value:
    """``Sign`` makes 0 of NaN."""
    return scope("Where", scope("IsNaN", x), x, scope("Sign", x))


def _expm1(scope: Scope, x: ir.Value) -> ir.Value:
    """``2 sinh(x/2) exp(x/2)``, in which nothing cancels: within 3e-7 however small x is.

    Below -40 it is -1, and the sine would soon be infinite.
    """
    x = scope("Mul", scope("Max", x, _number(-40)), _number(0.5))
    return scope("Mul", scope("Mul", scope("Sinh", x), scope("Exp", x)), _number(2))


def _log1p(scope: Scope, x: ir.Value) -> ir.Value:
    """``asinh(x/2 (1 + 1/(1 + x)))``, of the hyperbolic sine of the logarithm.

    Nothing cancels: within 3e-7 however small x is. Below -1 there is no logarithm.
    """
    factor = scope("Add", scope("Reciprocal", scope("Add", x, ONE)), ONE)
    logarithm = scope("Asinh", scope("Mul", scope("Mul", x, _number(0.5)), factor))
    return scope("Where", scope("Less", x, _number(-1)), _number(math.nan), logarithm)


def _log(base: float, scope: Scope, x: ir.Value) -> ir.Value:
    return scope("Div", scope("Log", x), _number(math.log(base)))


def _trunc(scope: Scope, x: ir.Value) -> ir.Value:
    return scope("Where", scope("Less", x, ZERO), scope("Ceil", x), scope("Floor", x))


def _atan2(scope: Scope, y: ir.Value, x: ir.Value) -> ir.Value:
    """The angle of ``y / x``, turned by half a circle where x is negative; zeros have signs, too."""
    endless = scope("And", scope("IsInf", y), scope("IsInf", x))
    y, x = (scope("Where", endless, scope("Sign", part), part) for part in (y, x))
    # Over 0, y is as good as its angle: 0 with a sign.
    angle = scope("Where", scope("Equal", y, ZERO), y, scope("Atan", scope("Div", y, x)))
    angle = scope("Where", scope("IsNaN", x), x, angle)
    turn = scope("Where", _negative(scope, y), scope("Neg", PI), PI)
    start = scope("Where", scope("Equal", y, ZERO), ZERO, angle)
    return scope("Where", _negative(scope, x), scope("Add", start, turn), angle)


def _negative(scope: Scope, x: ir.Value) -> ir.Value:
    """Whether a number has a minus in front, -0 included."""
    return scope("Or", scope("Less", x, ZERO), scope("Less", scope("Reciprocal", x), ZERO))


def _isfinite(scope: Scope, x: ir.Value) -> ir.Value:
    return scope("Less", scope("Abs", x), _number(math.inf))


def _remainder(scope: Scope, x: ir.Value, y: ir.Value) -> ir.Value:
    """With the sign of the divisor, which ``fmod`` does not have."""
    rest = scope("Mod", x, y, fmod=1)
    return scope("Where", _crosses(scope, rest, y), scope("Add", rest, y), rest)


def _crosses(scope: Scope, rest: ir.Value, y: ir.Value) -> ir.Value:
    """Whether a remainder is not 0 and of another sign than the divisor."""
    differ = scope("Xor", scope("Less", rest, ZERO), scope("Less", y, ZERO))
    return scope("And", differ, scope("Not", scope("Equal", rest, ZERO)))


def _floor_divide(scope: Scope, x: ir.Value, y: ir.Value) -> ir.Value:
    """By the remainder, which there is not over 0: a quotient is rounded, so that 1 // 0.1 would be 10."""
    quotient = scope("Div", x, y)
    whole = scope("Round", scope("Div", scope("Sub", x, _remainder(scope, x, y)), y))
    return scope("Where", _isfinite(scope, quotient), whole, quotient)


def _floor_divide_integers(scope: Scope, x: ir.Value, y: ir.Value, dtype: str) -> ir.Value:
    """``Div`` cuts towards 0."""
    zero, one = np.zeros((), dtype), np.ones((), dtype)
    divisor = _divisor(scope, y, dtype)
    rest = scope("Mod", x, divisor)
    differ = scope("Xor", scope("Less", x, zero), scope("Less", divisor, zero))
    beyond = scope("And", differ, scope("Not", scope("Equal", rest, zero)))
    cut = scope("Div", x, divisor)
    whole = scope("Where", beyond, scope("Sub", cut, one), cut)
    return (
        whole
        if divisor is y
        else scope("Where", scope("Equal", y, np.full((), -1, dtype)), scope("Neg", x), whole)
    )


def _remainder_integers(scope: Scope, x: ir.Value, y: ir.Value, dtype: str) -> ir.Value:
    """``Mod`` has the sign of the divisor."""
    return scope("Mod", x, _divisor(scope, y, dtype))


def _divisor(scope: Scope, y: ir.Value, dtype: str) -> ir.Value:
    """Integers with 1 for -1, by which the smallest one ends the process, and for 0.

    By 0 nothing is defined, yet a run fails, were it one of a row or step that nobody reads.
    """
    known = y.const_value
    if known is not None and not np.isin(known.numpy(), (-1, 0)).any():
        return y
    one, two = np.ones((), dtype), np.full((), 2, dtype)
    small = scope("And", scope("Less", y, two), scope("Greater", y, np.full((), -2, dtype)))
    return scope("Where", small, one, y)


def _pow_integers(scope: Scope, x: ir.Value, y: ir.Value, dtype: str) -> ir.Value:
    """By squares, for exponents below 64: ``Pow`` computes integers as floats."""
    one, two = np.ones((), dtype), np.full((), 2, dtype)
    result = None
    for _ in range(6):
        factor = scope("Where", scope("Equal", scope("Mod", y, two), one), x, one)
        result = factor if result is None else scope("Mul", result, factor)
        x, y = scope("Mul", x, x), scope("Div", y, two)
    assert result is not None
    return result


def _squared(scope: Scope, x: ir.Value) -> ir.Value:
    return scope("Mul", x, x)


COMPOSED: Mapping[str, Callable[..., ir.Value]] = {
    "sign": _sign,
    "square": _squared,
    "expm1": _expm1,
    "log1p": _log1p,
    "log2": partial(_log, 2),
    "log10": partial(_log, 10),
    "rsqrt": lambda scope, x: scope("Reciprocal", scope("Sqrt", x)),
    "trunc": _trunc,
    "atan2": _atan2,
    "isfinite": _isfinite,
    "remainder": _remainder,
    "floor_divide": _floor_divide,
    "not_equal": lambda scope, x, y: scope("Not", scope("Equal", x, y)),
}
"""The functions that several operators compute."""

OF_INTEGERS: Mapping[str, Callable[..., ir.Value]] = {
    "floor_divide": _floor_divide_integers,
    "remainder": _remainder_integers,
    "pow": _pow_integers,
}
"""Those that take others for integers."""


def _erf(scope: Scope, x: ir.Value) -> ir.Value:
    """Up to 1.26 onnxruntime gives -1 or 1 of NaN."""
    return scope("Where", scope("IsNaN", x), x, scope("Erf", x))


@writes(Elementwise)
def write_elementwise(op: Elementwise, site: Site) -> tuple[LazyValue, ...]:
    """Inputs that broadcast."""
    scope, dtype = site.scope, site.inputs[0].tensor.dtype
    if dtype in INTEGERS and op.function == "sign":
        return elementwise(site, lambda x: scope("Sign", x))
    if dtype in INTEGERS and op.function in OF_INTEGERS:
        return elementwise(site, partial(OF_INTEGERS[op.function], scope, dtype=dtype))
    if op.function == "erf" and site.may_be_nan:
        return elementwise(site, partial(_erf, scope))
    if op.function in COMPOSED:
        return elementwise(site, partial(COMPOSED[op.function], scope))
    return elementwise(site, partial(scope, OPERATORS[op.function]))


@writes(Where)
def write_where(op: Where, site: Site) -> tuple[LazyValue, ...]:
    """``Where``, which is not there for booleans."""
    scope = site.scope

    def choose(condition: ir.Value, x: ir.Value, y: ir.Value) -> ir.Value:
        if site.output_tensors[0].dtype != "bool":
            return scope("Where", condition, x, y)
        return scope("Or", scope("And", condition, x), scope("And", scope("Not", condition), y))

    return elementwise(site, choose)


@writes(Clip)
def write_clip(op: Clip, site: Site) -> tuple[LazyValue, ...]:
    """``Clip``, of any numbers."""
    dtype = site.inputs[0].tensor.dtype
    limits = [None if limit is None else np.asarray(limit, dtype) for limit in (op.min, op.max)]
    return elementwise(site, lambda x: site.scope("Clip", x, *limits))


@writes(Cast)
def write_cast(op: Cast, site: Site) -> tuple[LazyValue, ...]:
    """``Cast``."""
    to = ir.DataType.from_numpy(np.dtype(op.output_dtype))
    return elementwise(site, lambda x: site.scope("Cast", x, to=to))
