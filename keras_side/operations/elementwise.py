"""Operations on each element by itself, of one tensor or of several that broadcast.

Source:
    keras/src/backend/tensorflow/numpy.py of 3.15, which says what is promoted to what.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from biport import ops
from keras_side.operations.registry import OperationCall, reads
from keras_side.operations.shaping import reshaped
from keras_side.operations.terms import (
    Term,
    apply,
    as_float,
    as_number,
    cast,
    common_dtype,
    compute,
    is_boolean,
    is_float,
    number,
)

OF_FLOATS: Mapping[str, str] = {
    "Arccos": "acos",
    "Arccosh": "acosh",
    "Arcsin": "asin",
    "Arcsinh": "asinh",
    "Arctan": "atan",
    "Arctanh": "atanh",
    "Ceil": "ceil",
    "Cos": "cos",
    "Cosh": "cosh",
    "Erf": "erf",
    "Exp": "exp",
    "Expm1": "expm1",
    "Fabs": "abs",
    "Floor": "floor",
    "Log": "log",
    "Log10": "log10",
    "Log1p": "log1p",
    "Log2": "log2",
    "Reciprocal": "reciprocal",
    "Rsqrt": "rsqrt",
    "Sin": "sin",
    "Sinh": "sinh",
    "Sqrt": "sqrt",
    "Tan": "tan",
}
"""Of one tensor, as floats."""


@reads(*OF_FLOATS)
def of_floats(call: OperationCall) -> Term:
    """One of `OF_FLOATS`."""
    return compute(OF_FLOATS[call.class_name], as_float(call.term()))


@reads("Abs", "Absolute")
def absolute(call: OperationCall) -> Term:
    """Of booleans themselves."""
    x = call.term()
    return x if is_boolean(x) else compute("abs", x)


@reads("Negative", "Sign")
def of_numbers(call: OperationCall) -> Term:
    """Integers stay integers."""
    return compute(call.class_name.lower(), call.term())


@reads("Square")
def square(call: OperationCall) -> Term:
    """Of booleans as int32."""
    return compute("square", as_number(call.term()))


@reads("Trunc")
def trunc(call: OperationCall) -> Term:
    """Of integers themselves."""
    x = call.term()
    return compute("trunc", x) if is_float(x) else x


@reads("Round")
def rounded(call: OperationCall) -> Term:
    """To whole numbers, coarse to the even one."""
    call.require(decimals=0)
    x = call.term()
    return compute("round", x) if is_float(x) else x


@reads("Isfinite", "Isinf", "Isnan")
def is_number(call: OperationCall) -> Term:
    """Integers are finite."""
    return compute(call.class_name.lower(), as_float(call.term()))


@reads("Isneginf", "Isposinf")
def is_infinite(call: OperationCall) -> Term:
    """Plus or minus infinity."""
    x = as_float(call.term())
    return compute("equal", x, number(math.inf if call.class_name == "Isposinf" else -math.inf, x))


@reads("Exp2")
def exp2(call: OperationCall) -> Term:
    """``2 ** x``."""
    x = as_float(call.term())
    return compute("pow", number(2, x), x)


@reads("Deg2rad", "Rad2deg")
def angle(call: OperationCall) -> Term:
    """Times a number."""
    x = as_float(call.term())
    degree = math.pi / 180
    return compute("multiply", x, number(degree if call.class_name == "Deg2rad" else 1 / degree, x))


OF_TWO: Mapping[str, str] = {
    "Maximum": "maximum",
    "Minimum": "minimum",
    "Multiply": "multiply",
    "Power": "pow",
    "Subtract": "subtract",
}
"""Of two tensors or numbers, in the dtype they are promoted to."""


@reads(*OF_TWO, takes=("x1", "x2"))
def of_two(call: OperationCall) -> Term:
    """One of `OF_TWO`."""
    return compute(OF_TWO[call.class_name], *call.promoted("x1", "x2"))


@reads("Add", takes=("x1", "x2"))
def add(call: OperationCall) -> Term:
    """A sum, in which Keras takes the second one for a bias where all of its sizes but one are 1.

    It lies along the last axis then where that has its size, and else along the second, wherever it was.

    Source:
        keras/src/backend/tensorflow/numpy.py of 3.15, ``add``.
    """
    x1, x2 = call.promoted("x1", "x2")
    wide = [size for size in x2.tensor.shape if size != 1]
    if len(wide) != 1 or not isinstance(wide[0], int) or x1.rank < 2:
        return compute("add", x1, x2)
    along = [axis for axis in (x1.rank - 1, 1) if x1.tensor.shape[axis] == wide[0]]
    if not along:
        return compute("add", x1, x2)
    shape = [wide[0] if axis == along[0] else 1 for axis in range(x1.rank)]
    own = [1] * (x1.rank - x2.rank) + list(x2.tensor.shape)
    return compute("add", x1, x2 if own == shape else reshaped(x2, shape))


@reads("FloorDivide", takes=("x1", "x2"))
def floor_divide(call: OperationCall) -> Term:
    """Of floats the quotient without its fraction, where Python would not let it be rounded first."""
    x1, x2 = call.promoted("x1", "x2")
    return compute("floor", compute("divide", x1, x2)) if is_float(x1) else compute("floor_divide", x1, x2)


@reads("Mod", takes=("x1", "x2"))
def mod(call: OperationCall) -> Term:
    """The remainder with the sign of the divisor; a Python number counts as a tensor of 32 bits."""
    return compute("remainder", *_strong(call, least="int32"))


@reads("Fmod", takes=("x1", "x2"))
def fmod(call: OperationCall) -> Term:
    """The remainder with the sign of what is divided."""
    x1, x2 = _strong(call, least="int32")
    size = compute("remainder", compute("abs", x1), compute("abs", x2))
    return compute("multiply", compute("sign", x1), size)


def _strong(call: OperationCall, least: str = "bool") -> list[Term]:
    """Arguments in a common dtype, in which Python's numbers count like tensors of 32 bits."""
    items = [call.item(name) for name in ("x1", "x2")]
    with np.errstate(over="ignore"):
        items = [float(np.float32(item)) if isinstance(item, float) else item for item in items]
    terms = [call.as_term(item, name) for item, name in zip(items, ("x1", "x2"), strict=True)]
    dtype = common_dtype(least, *(term.dtype for term in terms))
    return [cast(term, dtype) for term in terms]


@reads("Divide", "TrueDivide", takes=("x1", "x2"))
def divide(call: OperationCall) -> Term:
    """In floats."""
    return compute("divide", *call.promoted("x1", "x2", least="float32"))


@reads("DivideNoNan", takes=("x1", "x2"))
def divide_no_nan(call: OperationCall) -> Term:
    """Zero where the divisor is."""
    x1, x2 = call.promoted("x1", "x2", least="float32")
    zero = number(0, x2)
    return apply(ops.Where(), compute("equal", x2, zero), zero, compute("divide", x1, x2))


@reads("Arctan2", takes=("x1", "x2"))
def arctan2(call: OperationCall) -> Term:
    """In floats."""
    return compute("atan2", *_strong(call, least="float32"))


@reads("Logaddexp", takes=("x1", "x2"))
def logaddexp(call: OperationCall) -> Term:
    """``log(exp(a) + exp(b))``, shifted so that it does not overflow."""
    x1, x2 = _strong(call, least="float32")
    difference = compute("subtract", x1, x2)
    small = compute("log1p", compute("exp", compute("negative", compute("abs", difference))))
    shifted = compute("add", compute("maximum", x1, x2), small)
    # Two infinities.
    return apply(ops.Where(), compute("isnan", difference), compute("add", x1, x2), shifted)


@reads("Heaviside", takes=("x1", "x2"))
def heaviside(call: OperationCall) -> Term:
    """0 below zero, 1 above, ``x2`` at it."""
    x1, x2 = call.promoted("x1", "x2", least="float32")
    zero, one = number(0, x1), number(1, x1)
    above = apply(ops.Where(), compute("greater", x1, zero), one, x2)
    return apply(ops.Where(), compute("less", x1, zero), zero, above)


COMPARISONS: Mapping[str, str] = {
    "Equal": "equal",
    "Greater": "greater",
    "GreaterEqual": "greater_equal",
    "Less": "less",
    "LessEqual": "less_equal",
    "NotEqual": "not_equal",
}


@reads(*COMPARISONS, takes=("x1", "x2"))
def comparison(call: OperationCall) -> Term:
    """Of booleans in their order as numbers."""
    x1, x2 = _strong(call)
    function = COMPARISONS[call.class_name]
    if function in ("equal", "not_equal"):
        return compute(function, x1, x2)
    return compute(function, as_number(x1), as_number(x2))


@reads("Isclose", takes=("x1", "x2", "rtol", "atol"))
def isclose(call: OperationCall) -> Term:
    """``|a - b| <= atol + rtol |b|``."""
    call.require(equal_nan=False)
    x1, x2 = _strong(call)
    if not is_float(x1):
        return compute("equal", x1, x2)
    rtol, atol = (
        as_float(call.as_term(default if call.item(name) is None else call.item(name), name))
        for name, default in (("rtol", 1e-5), ("atol", 1e-8))
    )
    bound = compute("add", atol, compute("multiply", rtol, compute("abs", x2)))
    return compute("less_equal", compute("abs", compute("subtract", x1, x2)), bound)


@reads("LogicalAnd", "LogicalOr", "LogicalXor", takes=("x1", "x2"))
def logical(call: OperationCall) -> Term:
    """What is not zero is true."""
    function = {"LogicalAnd": "logical_and", "LogicalOr": "logical_or", "LogicalXor": "logical_xor"}
    return compute(function[call.class_name], *(cast(x, "bool") for x in call.terms("x1", "x2")))


@reads("LogicalNot")
def logical_not(call: OperationCall) -> Term:
    """What is not zero is true."""
    return compute("logical_not", cast(call.term(), "bool"))


@reads("Where", takes=("condition", "x1", "x2"))
def where(call: OperationCall) -> Term:
    """One of two, which broadcast."""
    if call.item("x1") is None or call.item("x2") is None:
        raise call.refusal("x1", None, "where(condition, x1, x2): positions alone are of no size")
    condition = cast(call.term("condition"), "bool")
    return apply(ops.Where(), condition, *call.promoted("x1", "x2"))


@reads("NanToNum")
def nan_to_num(call: OperationCall) -> Term:
    """Numbers in place of what is none; the largest there is, Keras' default, is another in each dtype."""
    x = call.term()
    values = call.real("nan", 0.0), call.real("posinf"), call.real("neginf")
    if not is_float(x):
        return x
    nan, above, below = (number(value, x) for value in values)
    known = apply(ops.Where(), compute("isnan", x), nan, x)
    known = apply(ops.Where(), compute("equal", known, number(math.inf, x)), above, known)
    return apply(ops.Where(), compute("equal", known, number(-math.inf, x)), below, known)


@reads("Clip")
def clip(call: OperationCall) -> Term:
    """Between two numbers."""
    x = as_number(call.term())
    limits = [call.setting(name) for name in ("x_min", "x_max")]
    for name, limit in zip(("x_min", "x_max"), limits, strict=True):
        if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int | float)):
            raise call.refusal(name, limit, "a number; maximum and minimum take tensors")
    return x if limits == [None, None] else apply(ops.Clip(min=limits[0], max=limits[1]), x)


@reads("Cast")
def cast_to(call: OperationCall) -> Term:
    """In another dtype; floats are cut towards zero."""
    return cast(call.term(), call.dtype())


@reads("ConvertToTensor", "Array")
def convert(call: OperationCall) -> Term:
    """The same tensor, in another dtype where one is named."""
    x = call.term()
    if call.class_name == "ConvertToTensor":
        for name in ("sparse", "ragged"):
            if call.setting(name):
                raise call.refusal(name, True, "dense tensors")
    return cast(x, call.dtype(default=x.dtype))


@reads("Conj", "Conjugate", "Copy", "Real")
def itself(call: OperationCall) -> Term:
    """The same numbers."""
    return call.term()


@reads("StopGradient", takes=("variable",))
def stop_gradient(call: OperationCall) -> Term:
    """The same numbers; that no gradient goes through matters in training alone."""
    return call.term("variable")


COPIES = ("Copy", "StopGradient")
"""Operations that give the same numbers as another tensor, which carries no mask; all others that change
nothing give the very tensor they were given."""
