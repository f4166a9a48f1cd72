"""Operations that take axes together.

Source:
    keras/src/backend/tensorflow/numpy.py, math.py and linalg.py of 3.15.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from biport import ops
from keras_side.operations.registry import OperationCall, reads
from keras_side.operations.shaping import flat, reshaped
from keras_side.operations.terms import (
    Term,
    apply,
    as_float,
    as_number,
    cast,
    compute,
    is_boolean,
    is_float,
    number,
)


def reduced(call: OperationCall, function: str, x: Term, **settings: Any) -> Term:
    """A reduction over the axes of a call; none given are all."""
    axes, keepdims = call.axes(x.rank), call.flag("keepdims")
    return apply(ops.Reduction(function=function, axes=axes, keepdims=keepdims, **settings), x)


@reads("Sum", "Prod")
def total(call: OperationCall) -> Term:
    """Of booleans as int32."""
    call.require(dtype=None)
    return reduced(call, call.class_name.lower(), as_number(call.term()))


EXTREMES: Mapping[str, tuple[str, str]] = {
    "Amax": ("max", "any"),
    "Amin": ("min", "all"),
    "Max": ("max", "any"),
    "Min": ("min", "all"),
}
"""Of numbers, and what it comes to for booleans."""


@reads(*EXTREMES)
def extreme(call: OperationCall) -> Term:
    """The largest or the smallest."""
    call.require(initial=None)
    x = call.term()
    return reduced(call, EXTREMES[call.class_name][is_boolean(x)], x)


@reads("Ptp")
def ptp(call: OperationCall) -> Term:
    """The largest less the smallest."""
    x = call.term()
    return compute("subtract", reduced(call, "max", x), reduced(call, "min", x))


@reads("Mean", "Std", "Var")
def moment(call: OperationCall) -> Term:
    """In floats, by the number of elements."""
    return reduced(call, call.class_name.lower(), as_float(call.term()))


@reads("Moments")
def moments(call: OperationCall) -> list[Term]:
    """Mean and variance."""
    call.require(synchronized=False)
    x = as_float(call.term())
    axes, keepdims = call.axes(x.rank, "axes"), call.flag("keepdims")
    return [
        apply(ops.Reduction(function=function, axes=axes, keepdims=keepdims), x)
        for function in ("mean", "var")
    ]


@reads("Average", takes=("x", "weights"))
def average(call: OperationCall) -> Term:
    """The mean, or the mean by weights of the shape of the tensor or of the axis."""
    if call.item("weights") is None:
        return reduced(call, "mean", as_float(call.term()))
    x, weights = call.promoted("x", "weights", least="float32")
    axes = call.axes(x.rank)
    if weights.rank != x.rank:
        behind = tuple(range(1, x.rank - axes[0]))
        weights = apply(ops.ExpandDims(axes=behind), weights) if behind else weights
    over = ops.Reduction(function="sum", axes=axes)
    inside = ops.Reduction(function="sum", axes=axes if weights.rank == x.rank else (0,))
    return compute("divide", apply(over, compute("multiply", x, weights)), apply(inside, weights))


@reads("All", "Any")
def truth(call: OperationCall) -> Term:
    """What is not zero is true."""
    return reduced(call, call.class_name.lower(), cast(call.term(), "bool"))


@reads("CountNonzero")
def count_nonzero(call: OperationCall) -> Term:
    """As int32."""
    return reduced(call, "sum", cast(cast(call.term(), "bool"), "int32"))


@reads("Logsumexp")
def logsumexp(call: OperationCall) -> Term:
    """Shifted so that it does not overflow."""
    return reduced(call, "logsumexp", as_float(call.term()))


@reads("Norm")
def norm(call: OperationCall) -> Term:
    """Of vectors, and of matrices where that is the same: the root of the sum of squares."""
    x = as_float(call.term())
    order, count = call.setting("ord"), len(call.axes(x.rank))
    if order is None or (order == "fro" and count == 2):
        return reduced(call, "norm", x)
    if count != 1 or isinstance(order, bool) or order not in (1, 2, math.inf):
        raise call.refusal("ord", order, "None; 1, 2 or infinity over one axis")
    return reduced(call, "norm", x, order=order)


@reads("Argmax", "Argmin")
def position(call: OperationCall) -> Term:
    """The first of several, as int32; of all elements in row-major order where there is no axis.

    Keras takes -0 for a little less than 0.
    """
    x, keepdims = as_number(call.term()), call.flag("keepdims")
    function = call.class_name.lower()
    if call.setting("axis") is not None:
        axis = call.axis(x.rank)
        return cast(apply(ops.ArgReduction(function=function, axis=axis, keepdims=keepdims), x), "int32")
    index = cast(apply(ops.ArgReduction(function=function, axis=0), flat(x)), "int32")
    return reshaped(index, (1,) * x.rank) if keepdims else index


@reads("Cumsum")
def cumsum(call: OperationCall) -> Term:
    """Along an axis, or of all elements in row-major order."""
    x = call.term()
    x = as_number(cast(x, call.dtype(default=x.dtype)))
    if call.setting("axis") is None:
        return apply(ops.CumulativeSum(axis=0), flat(x))
    return apply(ops.CumulativeSum(axis=call.axis(x.rank)), x)


MAX_DIFFERENCES = 10
"""Of differences; each is three operations."""


@reads("Diff", takes=("a",))
def diff(call: OperationCall) -> Term:
    """Each element less the one before, ``n`` times."""
    x, count = call.term("a"), call.integer("n", 1)
    if not 0 <= count <= MAX_DIFFERENCES:
        raise call.refusal("n", count, f"0 to {MAX_DIFFERENCES}")
    axis = call.axis(x.rank, default=-1)
    whole = ((None, None, 1),) * axis
    for _ in range(count):
        last = apply(ops.Slice(items=(*whole, (1, None, 1))), x)
        first = apply(ops.Slice(items=(*whole, (None, -1, 1))), x)
        x = compute("not_equal" if is_boolean(x) else "subtract", last, first)
    return x


@reads("Normalize")
def normalize(call: OperationCall) -> Term:
    """Over its norm along some axes, which is no smaller than ``epsilon``.

    Source:
        keras/src/ops/nn.py of 3.15, ``_normalize``.
    """
    x, order, epsilon = call.term(), call.setting("order", 2), call.setting("epsilon")
    if not is_float(x) or order not in (1, 2, math.inf) or isinstance(order, bool):
        raise call.refusal("order", order, "1, 2 or infinity, of floats")
    axes = (x.rank - 1,) if call.setting("axis") is None else call.axes(x.rank)
    if order != 2 and len(axes) > 1:
        raise call.refusal("axis", call.setting("axis"), "one axis")
    least = number(1e-7 if epsilon is None else call.real("epsilon"), x)
    size = apply(ops.Reduction(function="norm", axes=axes, keepdims=True, order=order), x)
    return compute("divide", x, compute("maximum", size, least))
