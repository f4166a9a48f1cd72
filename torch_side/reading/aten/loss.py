"""Losses that a ``forward`` computes itself."""

from __future__ import annotations

from biport import ops
from biport.dims import product
from biport.ops import FLOATS
from torch_side.reading.aten.activation import activated, float_input
from torch_side.reading.aten.elementwise import combined
from torch_side.reading.aten_call import AtenCall
from torch_side.registry import reads_aten

REDUCTIONS = ("none", "mean", "sum")
"""By torch's numbers."""


def _reduced(call: AtenCall, losses: str) -> str:
    function = REDUCTIONS[call["reduction"]]
    return losses if function == "none" else _over_all(call, function, losses)


def _over_all(call: AtenCall, function: str, x: str) -> str:
    return call.apply(ops.Reduction(function=function, axes=tuple(range(call.rank(x)))), x)


@reads_aten("mse_loss.default", "l1_loss.default")
def read_distance_loss(call: AtenCall) -> str:
    """``functional.mse_loss(x, y)``, ``functional.l1_loss(x, y)``."""
    difference = combined(call, "subtract", *call.promoted("self", "target"))
    return _reduced(call, call.compute("square" if call.name == "mse_loss" else "abs", difference))


@reads_aten("smooth_l1_loss.default", "huber_loss.default")
def read_smooth_loss(call: AtenCall) -> str:
    """Squares near zero, and straight lines from there on."""
    name, scaled = ("beta", True) if call.name == "smooth_l1_loss" else ("delta", False)
    bound = call.number(name)
    distance = call.compute("abs", combined(call, "subtract", *call.promoted("self", "target")))
    if bound == 0:
        return _reduced(call, distance)
    wide, middle = call.like(bound, distance), call.like(0.5 * bound, distance)
    squares = call.compute("multiply", call.compute("square", distance), call.like(0.5, distance))
    squares = call.compute("divide", squares, wide) if scaled else squares
    straight = call.compute("subtract", distance, middle)
    straight = straight if scaled else call.compute("multiply", straight, wide)
    near = call.compute("less", distance, wide)
    return _reduced(call, call.apply(ops.Where(), near, squares, straight))


@reads_aten("binary_cross_entropy.default")
def read_binary_cross_entropy(call: AtenCall) -> str:
    """Of probabilities; no logarithm is below -100."""
    call.require(weight=None)
    x, y = call.promoted("self", "target")
    one, least = call.like(1, x), call.like(-100, x)
    logs = [call.compute("log", part) for part in (x, call.compute("subtract", one, x))]
    yes, no = (call.compute("maximum", part, least) for part in logs)
    losses = call.compute("subtract", call.compute("multiply", call.compute("subtract", y, one), no),
                          call.compute("multiply", y, yes))  # fmt: skip
    return _reduced(call, losses)


@reads_aten("binary_cross_entropy_with_logits.default")
def read_binary_cross_entropy_with_logits(call: AtenCall) -> str:
    """Of numbers before a sigmoid."""
    call.require(weight=None, pos_weight=None)
    x, y = call.promoted("self", "target")
    away = call.compute("multiply", call.compute("subtract", call.like(1, x), y), x)
    return _reduced(call, call.compute("subtract", away, activated(call, "log_sigmoid", x)))


@reads_aten("nll_loss_nd.default", "nll_loss.default", "nll_loss2d.default")
def read_nll_loss(call: AtenCall) -> str:
    """Of logarithms of probabilities, by classes on the second axis."""
    return _of_classes(call, float_input(call))


@reads_aten("cross_entropy_loss.default")
def read_cross_entropy(call: AtenCall) -> str:
    """Of numbers before a softmax over the second axis; targets are classes, or probabilities of each."""
    call.require(label_smoothing=0)
    x = float_input(call)
    axis = _class_axis(call, x)
    last = axis == call.rank(x) - 1
    logs = activated(call, "log_softmax", x) if last else call.apply(ops.LogSoftmax(axis=axis), x)
    if call.dtype(call.value("target")) not in FLOATS:
        return _of_classes(call, logs)
    call.require(weight=None)
    weighed = call.compute("multiply", logs, call.value("target"))
    losses = call.compute("negative", call.apply(ops.Reduction(function="sum", axes=(axis,)), weighed))
    if REDUCTIONS[call["reduction"]] != "mean":
        return _reduced(call, losses)
    # Of the rows, whatever else there is.
    total = _over_all(call, "sum", losses)
    shape = [size for other, size in enumerate(call.tensor(x).shape) if other != axis]
    ones = call.apply(ops.Full(shape=(product(shape),), value=1.0, output_dtype=call.dtype(x)))
    return call.compute("divide", total, _over_all(call, "sum", ones))


def _class_axis(call: AtenCall, x: str) -> int:
    return 1 if call.rank(x) > 1 else 0


def _of_classes(call: AtenCall, logs: str) -> str:
    call.require(weight=None)
    target, axis, dtype = call.value("target"), _class_axis(call, logs), call.dtype(logs)
    ignored = call.operand("ignore_index", call.dtype(target))
    valid = call.compute("not_equal", target, ignored)
    classes = call.apply(ops.Where(), valid, target, call.like(0, target))
    picked = call.apply(ops.TakeAlongAxis(axis=axis), logs, call.apply(ops.ExpandDims(axes=(axis,)), classes))
    losses = call.compute("negative", call.apply(ops.Squeeze(axes=(axis,)), picked))
    losses = call.apply(ops.Where(), valid, losses, call.like(0, losses))
    if REDUCTIONS[call["reduction"]] != "mean":
        return _reduced(call, losses)
    count = _over_all(call, "sum", call.cast(valid, dtype))
    return call.compute("divide", _over_all(call, "sum", losses), count)
