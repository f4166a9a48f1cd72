"""Functions of each element by itself, and of several tensors that broadcast."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch

from biport import ops
from biport.ops import FLOATS, INTEGERS
from torch_side.reading.aten_call import AtenCall
from torch_side.registry import reads_aten

UNARY: Mapping[str, str] = {
    "neg": "negative",
    "negative": "negative",
    "absolute": "abs",
    "arccos": "acos",
    "arccosh": "acosh",
    "arcsin": "asin",
    "arcsinh": "asinh",
    "arctan": "atan",
    "arctanh": "atanh",
    "fix": "trunc",
    "special_erf": "erf",
    "special_expm1": "expm1",
    "special_log1p": "log1p",
    "special_round": "round",
    **{
        name: name
        for name in (
            *("abs", "exp", "expm1", "log", "log1p", "log2", "log10", "sqrt", "rsqrt", "reciprocal", "erf"),
            *("sin", "cos", "tan", "sinh", "cosh", "asin", "acos", "atan", "asinh", "acosh", "atanh"),
            *("floor", "ceil", "round", "trunc", "square"),
        )
    },
}
"""Functions of one tensor, in the dtype of what comes out."""

ROUNDING = ("floor", "ceil", "round", "trunc")
TESTS = ("isfinite", "isnan", "isinf")

ARITHMETIC: Mapping[str, str] = {
    "add": "add",
    "sub": "subtract",
    "subtract": "subtract",
    "mul": "multiply",
    "multiply": "multiply",
    "maximum": "maximum",
    "max": "maximum",
    "minimum": "minimum",
    "min": "minimum",
    "atan2": "atan2",
    "arctan2": "atan2",
    "remainder": "remainder",
    "floor_divide": "floor_divide",
}
COMPARISONS: Mapping[str, str] = {
    "eq": "equal",
    "ne": "not_equal",
    "not_equal": "not_equal",
    "lt": "less",
    "less": "less",
    "le": "less_equal",
    "less_equal": "less_equal",
    "gt": "greater",
    "greater": "greater",
    "ge": "greater_equal",
    "greater_equal": "greater_equal",
}
LOGICAL: Mapping[str, str] = {
    "bitwise_and": "logical_and",
    "bitwise_or": "logical_or",
    "bitwise_xor": "logical_xor",
    "__and__": "logical_and",
    "__or__": "logical_or",
    "__xor__": "logical_xor",
    "logical_and": "logical_and",
    "logical_or": "logical_or",
    "logical_xor": "logical_xor",
}
"""Functions of two tensors, or of a tensor and a number."""

OF_BOOLEANS: Mapping[str, str] = {
    "add": "logical_or",
    "maximum": "logical_or",
    "multiply": "logical_and",
    "minimum": "logical_and",
}
"""What arithmetic is of booleans."""

LAYERS: Mapping[str, type[ops.Op]] = {
    "add": ops.Add,
    "subtract": ops.Subtract,
    "multiply": ops.Multiply,
    "maximum": ops.Maximum,
    "minimum": ops.Minimum,
}
"""What is a layer of its own where two values have one shape."""

POWERS: Mapping[float, str] = {2: "square", 0.5: "sqrt", -0.5: "rsqrt", -1: "reciprocal"}
"""Powers that torch computes in another way (``aten/src/ATen/native/cpu/PowKernel.cpp``)."""


def combined(call: AtenCall, function: str, one: str, two: str) -> str:
    """A function of two values of one dtype, as the layer that computes it where there is one."""
    dtype, same = call.dtype(one), call.tensor(one) == call.tensor(two)
    if dtype == "bool":
        function = OF_BOOLEANS.get(function, function)
    if function in ("logical_and", "logical_or") and same and call.rank(one) == 2:
        return call.apply(ops.LogicalAnd() if function == "logical_and" else ops.LogicalOr(), one, two)
    if function in LAYERS and same and dtype in FLOATS and call.rank(one) > 1:
        return call.apply(LAYERS[function](), one, two)
    return call.compute(function, one, two)


def overloads(names: Any, *kinds: str) -> tuple[str, ...]:
    """All of these functions with all of these kinds of arguments."""
    return tuple(f"{name}.{kind}" for name in names for kind in kinds)


@reads_aten(*overloads(UNARY, "default"))
def read_unary(call: AtenCall) -> str:
    """``torch.exp(x)``, of integers in floats."""
    x, function = call.operand("self", call.result_dtype), UNARY[call.name]
    return x if function in ROUNDING and call.dtype(x) in INTEGERS else call.compute(function, x)


@reads_aten(*overloads(TESTS, "default"))
def read_test(call: AtenCall) -> str:
    """``torch.isnan(x)``."""
    x = call.value("self")
    return call.compute(call.name, x if call.dtype(x) in FLOATS else call.cast(x, "float32"))


@reads_aten("nan_to_num.default")
def read_nan_to_num(call: AtenCall) -> str:
    """``x.nan_to_num(0.0)``: infinite numbers become the largest there are."""
    x = call.value("self")
    if call.dtype(x) not in FLOATS:
        return x
    limits = torch.finfo(getattr(torch, call.dtype(x)))
    zero = call.like(0, x)
    infinite = call.compute("isinf", x)
    for name, default, sign in (("posinf", limits.max, "greater"), ("neginf", limits.min, "less")):
        number = call.like(call.number(name) if call.has(name) else default, x)
        there = call.compute("logical_and", infinite, call.compute(sign, x, zero))
        x = call.apply(ops.Where(), there, number, x)
    return call.apply(ops.Where(), call.compute("isnan", x), call.like(call["nan"] or 0, x), x)


@reads_aten("exp2.default", "special_exp2.default")
def read_exp2(call: AtenCall) -> str:
    """``torch.exp2(x)``."""
    x = call.operand("self", call.result_dtype)
    return call.compute("pow", call.like(2, x), x)


@reads_aten("round.decimals")
def read_round(call: AtenCall) -> str:
    """``x.round(decimals=2)``, computed as torch does."""
    x, power = call.value("self"), call.like(10.0 ** abs(call.number("decimals")), call.value("self"))
    there, back = ("multiply", "divide") if call["decimals"] > 0 else ("divide", "multiply")
    return call.compute(back, call.compute("round", call.compute(there, x, power)), power)


@reads_aten("fmax.default", "fmin.default")
def read_fmax(call: AtenCall) -> str:
    """``torch.fmax(a, b)``, where a number is more than NaN."""
    one, two = (call.operand(name, call.result_dtype) for name in ("self", "other"))
    if call.dtype(one) in FLOATS:
        one, two = (
            call.apply(ops.Where(), call.compute("isnan", x), other, x)
            for x, other in ((one, two), (two, one))
        )
    return combined(call, {"fmax": "maximum", "fmin": "minimum"}[call.name], one, two)


@reads_aten("sign.default", "sgn.default")
def read_sign(call: AtenCall) -> str:
    """``x.sign()``, which is 0 for NaN."""
    x = call.value("self")
    if call.dtype(x) not in FLOATS:
        return x if call.dtype(x) == "bool" else call.compute("sign", x)
    above, below = (call.compute(name, x, call.like(0, x)) for name in ("greater", "less"))
    return call.compute("subtract", call.cast(above, call.dtype(x)), call.cast(below, call.dtype(x)))


@reads_aten("logical_not.default", "bitwise_not.default")
def read_not(call: AtenCall) -> str:
    """``~mask``."""
    _check_bits(call)
    return call.compute("logical_not", call.operand("self", "bool"))


@reads_aten("positive.default")
def read_positive(call: AtenCall) -> str:
    """``+x``."""
    return call.value("self")


@reads_aten(*overloads(("add", "sub", "subtract", "mul", "multiply", "remainder"), "Tensor", "Scalar"),
            *overloads(("maximum", "minimum", "atan2", "arctan2", "floor_divide"), "default"),
            "max.other", "min.other", "floor_divide.Scalar", "remainder.Scalar_Tensor",
            "rsub.Tensor", "rsub.Scalar")  # fmt: skip
def read_arithmetic(call: AtenCall) -> str:
    """``a + b``, in the dtype that torch promotes both to."""
    one, two = (call.operand(name, call.result_dtype) for name in ("self", "other"))
    function = ARITHMETIC.get(call.name, "subtract")
    if call.name == "rsub":
        one, two = two, _times(call, one, call.number("alpha"))
    elif "alpha" in call.arguments:
        two = _times(call, two, call.number("alpha"))
    return combined(call, function, one, two)


def _times(call: AtenCall, value: str, factor: float) -> str:
    return value if factor == 1 else call.compute("multiply", value, call.like(factor, value))


@reads_aten(*overloads(("div", "divide", "true_divide"), "Tensor", "Scalar"),
            *overloads(("div", "divide"), "Tensor_mode", "Scalar_mode"))  # fmt: skip
def read_divide(call: AtenCall) -> str:
    """``a / b`` and ``torch.div(a, b, rounding_mode="floor")``."""
    one, two = (call.operand(name, call.result_dtype) for name in ("self", "other"))
    match call.arguments.get("rounding_mode"):
        case "floor":
            return call.compute("floor_divide", one, two)
        case "trunc":
            return _truncated(call, one, two)
    return call.compute("divide", one, two)


def _truncated(call: AtenCall, one: str, two: str) -> str:
    """A quotient cut towards zero."""
    if call.dtype(one) in FLOATS:
        return call.compute("trunc", call.compute("divide", one, two))
    size = call.compute("floor_divide", call.compute("abs", one), call.compute("abs", two))
    signs = call.compute("multiply", call.compute("sign", one), call.compute("sign", two))
    return call.compute("multiply", size, signs)


@reads_aten("fmod.Tensor", "fmod.Scalar")
def read_fmod(call: AtenCall) -> str:
    """``torch.fmod(a, b)``, with the sign of the dividend."""
    one, two = (call.operand(name, call.result_dtype) for name in ("self", "other"))
    rest = call.compute("remainder", call.compute("abs", one), call.compute("abs", two))
    return call.compute("multiply", rest, call.compute("sign", one))


@reads_aten("pow.Tensor_Tensor", "pow.Tensor_Scalar", "pow.Scalar")
def read_pow(call: AtenCall) -> str:
    """``a ** b``."""
    exponent, dtype = call["exponent"], call.result_dtype
    if isinstance(exponent, int | float):
        x = call.operand("self", dtype)
        if exponent == 2 or (exponent in POWERS and dtype in FLOATS):
            return call.compute(POWERS[exponent], x)
    return call.compute("pow", call.operand("self", dtype), call.operand("exponent", dtype))


@reads_aten(*overloads(COMPARISONS, "Tensor", "Scalar"))
def read_comparison(call: AtenCall) -> str:
    """``a < b``; ``ids != 0`` is the mask of a padded batch."""
    one, two = call.promoted("self", "other")
    function, number = COMPARISONS[call.name], call["other"]
    if call.dtype(one) == "bool" and function not in ("equal", "not_equal"):
        one, two = call.cast(one, "int32"), call.cast(two, "int32")
    whole = isinstance(number, int) and not isinstance(number, bool)
    if function == "not_equal" and whole and call.dtype(one) in INTEGERS and call.rank(one) == 2:
        return call.apply(ops.NotEqual(value=number), one)
    return call.compute(function, one, two)


@reads_aten(*overloads(("bitwise_and", "bitwise_or", "bitwise_xor"), "Tensor", "Scalar", "Scalar_Tensor"),
            *overloads(("__and__", "__or__", "__xor__"), "Tensor", "Scalar"),
            *overloads(("logical_and", "logical_or", "logical_xor"), "default"))  # fmt: skip
def read_logical(call: AtenCall) -> str:
    """``a & b`` of booleans, ``torch.logical_and(a, b)`` of anything."""
    _check_bits(call)
    one, two = (call.operand(name, "bool") for name in ("self", "other"))
    return combined(call, LOGICAL[call.name], one, two)


def _check_bits(call: AtenCall) -> None:
    """Refuse bits of integers."""
    if not call.name.startswith("logical") and call.result_dtype != "bool":
        raise call.refuse(call.name, f"of {call.result_dtype}", "of booleans")


@reads_aten("where.self", "where.ScalarSelf", "where.ScalarOther", "where.Scalar")
def read_where(call: AtenCall) -> str:
    """``torch.where(mask, a, b)``."""
    one, two = (call.operand(name, call.result_dtype) for name in ("self", "other"))
    return call.apply(ops.Where(), call.operand("condition", "bool"), one, two)


@reads_aten("masked_fill.Scalar", "masked_fill.Tensor")
def read_masked_fill(call: AtenCall) -> str:
    """``x.masked_fill(mask, value)``."""
    x = call.value("self")
    number = call.operand("value", call.dtype(x))
    return call.apply(ops.Where(), call.operand("mask", "bool"), number, x)


@reads_aten(*overloads(("clamp", "clip"), "default", "Tensor"),
            *overloads(("clamp_min", "clamp_max"), "default", "Tensor"))  # fmt: skip
def read_clamp(call: AtenCall) -> str:
    """``x.clamp(0, 1)``, also between tensors."""
    dtype = call.result_dtype
    x, limits = call.operand("self", dtype), {name: call.arguments.get(name) for name in ("min", "max")}
    numbers = {name: limit for name, limit in limits.items() if isinstance(limit, int | float)}
    finite: dict[str, Any] = {name: limit for name, limit in numbers.items() if math.isfinite(limit)}
    if len(finite) == len(numbers) == sum(limit is not None for limit in limits.values()):
        return call.apply(ops.Clip(**finite), x)
    for name, function in (("min", "maximum"), ("max", "minimum")):
        if limits[name] is not None:
            x = call.compute(function, x, call.operand(name, dtype))
    return x


@reads_aten("addcmul.default", "addcdiv.default")
def read_addc(call: AtenCall) -> str:
    """``torch.addcmul(x, a, b, value=2)``."""
    x, one, two = (call.operand(name, call.result_dtype) for name in ("self", "tensor1", "tensor2"))
    product = call.compute("multiply" if call.name == "addcmul" else "divide", one, two)
    return call.compute("add", x, _times(call, product, call.number("value")))


@reads_aten("lerp.Scalar", "lerp.Tensor")
def read_lerp(call: AtenCall) -> str:
    """``torch.lerp(start, end, weight)``."""
    start, end, weight = (call.operand(name, call.result_dtype) for name in ("self", "end", "weight"))
    return call.compute("add", start, call.compute("multiply", weight, call.compute("subtract", end, start)))


@reads_aten("_to_copy.default", "type_as.default", "to.dtype", "to.dtype_layout", "to.device", "to.other")
def read_cast(call: AtenCall) -> str:
    """``x.float()``, ``x.long()``, ``x.to(y)``."""
    x, dtype = call.value("self"), call.results.dtype
    source = call["self"].meta["val"].dtype
    if dtype in (torch.int8, torch.uint8, torch.int16) and source not in (dtype, torch.bool):
        raise call.refuse("dtype", str(dtype).removeprefix("torch."), ["int32", "int64", "bool"])
    return call.cast(x, call.result_dtype)


@reads_aten("copy.default")
def read_copy(call: AtenCall) -> str:
    """``x.copy_(y)``: ``y`` in the shape and dtype of ``x``."""
    value = call.operand("src", call.result_dtype)
    shape = call.result_shape
    return value if call.tensor(value).shape == shape else call.apply(ops.BroadcastTo(shape=shape), value)
