"""Sums, means, extremes and their like."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from biport import ops
from biport.dims import product
from biport.ops import FLOATS
from biport.ops.reduction import ORDERS
from torch_side.reading.aten.shaping import reshaped
from torch_side.reading.aten_call import AtenCall
from torch_side.registry import reads_aten

POOLINGS: Mapping[str, type[ops.GlobalAveragePooling1D | ops.GlobalMaxPooling1D]] = {
    "mean": ops.GlobalAveragePooling1D,
    "max": ops.GlobalMaxPooling1D,
}
"""What is a layer of its own over the steps of ``(N, T, I)``."""


def reduced(
    call: AtenCall, function: str, x: str, axes: tuple[int, ...] | None = None, **settings: Any
) -> str:
    """Over the axes that torch is given; all of them where it is given none."""
    axes = call.axes(x) if axes is None else axes
    keep = bool(call.arguments.get("keepdim", False))
    if function in POOLINGS and axes == (1,) and call.rank(x) == 3 and call.dtype(x) in FLOATS:
        return call.apply(POOLINGS[function](keepdims=keep), x)
    return call.apply(ops.Reduction(function=function, axes=axes, keepdims=keep, **settings), x)


@reads_aten("sum.default", "sum.dim_IntList", "mean.default", "mean.dim", "prod.default", "prod.dim_int",
            "logsumexp.default", "special_logsumexp.default")  # fmt: skip
def read_sum(call: AtenCall) -> str:
    """``x.sum(1)``, in the dtype of what comes out: integers of 64 bits for integers and booleans."""
    function = call.name.removeprefix("special_")
    return reduced(call, function, call.operand("self", call.result_dtype))


@reads_aten("count_nonzero.default", "count_nonzero.dim_IntList")
def read_count(call: AtenCall) -> str:
    """``x.count_nonzero(1)``."""
    return reduced(call, "sum", call.cast(call.operand("self", "bool"), "int64"))


@reads_aten("any.default", "any.dim", "any.dims", "all.default", "all.dim", "all.dims")
def read_any(call: AtenCall) -> str:
    """``mask.any(1)``; ``(x != 0).any(-1)`` is the mask of what is padded with zeros."""
    x = call.operand("self", "bool")
    other = _not_equal_to(call, x) if call.name == "any" and not call.arguments.get("keepdim") else None
    if other is not None and call.axes(x) == (2,):
        return call.apply(ops.FeaturesNotEqual(value=other[1]), other[0])
    return call.cast(reduced(call, call.name, x), call.result_dtype)


def _not_equal_to(call: AtenCall, x: str) -> tuple[str, float] | None:
    """The floats ``(N, T, I)``, and the number, that ``x`` says to differ."""
    maker = call.reader.maker(x)
    if maker is None or not isinstance(maker.op, ops.Elementwise) or maker.op.function != "not_equal":
        return None
    number = call.reader.maker(maker.inputs[1])
    floats = call.dtype(maker.inputs[0]) in FLOATS and call.rank(maker.inputs[0]) == 3
    if not floats or number is None or not isinstance(number.op, ops.Constant) or number.op.value.ndim:
        return None
    return maker.inputs[0], float(number.op.value)


@reads_aten("amax.default", "amin.default", "max.default", "min.default")
def read_extreme(call: AtenCall) -> str:
    """``x.amax(1)``, ``x.max()``."""
    return _extreme(call, call.name.removeprefix("a"), call.value("self"))


def _extreme(call: AtenCall, function: str, x: str) -> str:
    if call.dtype(x) == "bool":
        function = {"max": "any", "min": "all"}[function]
    return reduced(call, function, x)


@reads_aten("max.dim", "min.dim")
def read_extreme_and_position(call: AtenCall) -> tuple[str | None, str | None]:
    """``x.max(1)``: values and where they are."""
    x = call.value("self")
    values = _extreme(call, call.name, x) if call.used(0) else None
    return values, _position(call, f"arg{call.name}", x) if call.used(1) else None


@reads_aten("aminmax.default")
def read_both_extremes(call: AtenCall) -> tuple[str, str]:
    """``x.aminmax(dim=1)``."""
    x = call.value("self")
    axes = (call.axis(x),) if call.has("dim") else tuple(range(call.rank(x)))
    least, most = (reduced(call, function, x, axes) for function in ("min", "max"))
    return least, most


@reads_aten("argmax.default", "argmin.default")
def read_position(call: AtenCall) -> str:
    """``x.argmax(-1)``; without an axis, the place among all numbers in a row."""
    x = call.value("self")
    if call.has("dim"):
        return _position(call, call.name, x)
    flat = reshaped(call, x, (product(call.tensor(x).shape),))
    position = call.apply(ops.ArgReduction(function=call.name, axis=0), flat)
    return reshaped(call, position, call.result_shape)


def _position(call: AtenCall, function: str, x: str) -> str:
    return call.apply(ops.ArgReduction(function=function, axis=call.axis(x), keepdims=call["keepdim"]), x)


@reads_aten("std.default", "std.dim", "std.correction", "var.default", "var.dim", "var.correction")
def read_moment(call: AtenCall) -> str:
    """``x.std(1)``, ``x.var(1, unbiased=False)``."""
    return reduced(call, call.name, call.value("self"), correction=_correction(call))


@reads_aten("std_mean.default", "std_mean.dim", "std_mean.correction", "var_mean.default", "var_mean.dim",
            "var_mean.correction")  # fmt: skip
def read_moments(call: AtenCall) -> tuple[str, str]:
    """``torch.var_mean(x, 1)``."""
    x = call.value("self")
    moment = reduced(call, call.name.removesuffix("_mean"), x, correction=_correction(call))
    return moment, reduced(call, "mean", x)


def _correction(call: AtenCall) -> float:
    if "unbiased" in call.arguments:
        return int(call["unbiased"])
    return call.number("correction") if call.has("correction") else 1


@reads_aten("norm.Scalar", "norm.ScalarOpt_dim", "norm.ScalarOpt_dtype", "norm.ScalarOpt_dim_dtype",
            "linalg_vector_norm.default", "linalg_norm.default")  # fmt: skip
def read_norm(call: AtenCall) -> str:
    """``x.norm(dim=-1)``."""
    order = call.arguments.get("ord", call.arguments.get("p"))
    x = call.operand("self", call.result_dtype)
    if call.name == "linalg_norm" and call.has("ord") and len(call.axes(x)) > 1:
        raise call.refuse("ord", order, "a norm of vectors: dim is one axis")
    return norm(call, x, 2.0 if order is None else float(order))


@reads_aten("dist.default")
def read_dist(call: AtenCall) -> str:
    """``torch.dist(a, b)``."""
    one, two = (call.operand(name, call.result_dtype) for name in ("self", "other"))
    return norm(call, call.compute("subtract", one, two), float(call.number("p")))


def norm(call: AtenCall, x: str, order: float) -> str:
    """A norm of vectors, also of an order that has no op."""
    if order in ORDERS:
        return reduced(call, "norm", x, order=order)
    size = call.compute("abs", x)
    if order == -math.inf:
        return reduced(call, "min", size)
    if order == 0:
        return reduced(call, "sum", call.cast(call.cast(x, "bool"), call.dtype(x)))
    total = reduced(call, "sum", call.compute("pow", size, call.like(order, x)))
    return call.compute("pow", total, call.like(1 / order, x))


@reads_aten("cumsum.default")
def read_cumulative_sum(call: AtenCall) -> str:
    """``x.cumsum(1)``."""
    x = call.operand("self", call.result_dtype)
    return call.apply(ops.CumulativeSum(axis=call.axis(x)), x)
