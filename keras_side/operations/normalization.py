"""Normalisation as functions, whose scale and offset are tensors or arrays.

Source:
    keras/src/ops/nn.py of 3.15, ``_layer_normalization`` and ``_rms_normalization``;
    keras/src/backend/tensorflow/nn.py, ``batch_normalization``.
"""

from __future__ import annotations

from biport import ops
from keras_side.operations.registry import OperationCall, reads
from keras_side.operations.shaping import reshaped
from keras_side.operations.terms import Term, apply, as_float, compute, number


def _mean(x: Term, axes: tuple[int, ...], function: str = "mean") -> Term:
    return apply(ops.Reduction(function=function, axes=axes, keepdims=True), x)


def _axes(call: OperationCall, x: Term) -> tuple[int, ...]:
    return tuple(sorted(call.axes(x.rank))) if call.setting("axis") is not None else (x.rank - 1,)


def _spread(v: Term, x: Term, axes: tuple[int, ...]) -> Term:
    """A scale or offset along the axes that it is for."""
    if v.rank == x.rank or axes == (x.rank - 1,):
        return v
    shape = [size if axis in axes else 1 for axis, size in enumerate(x.tensor.shape)]
    return reshaped(v, shape)


def _scaled(call: OperationCall, x: Term, axes: tuple[int, ...], scale: str, offset: str) -> Term:
    for name, function in ((scale, "multiply"), (offset, "add")):
        if call.item(name) is not None:
            x = compute(function, x, _spread(as_float(call.term(name)), x, axes))
    return x


def _root(call: OperationCall, variance: Term, default: float) -> Term:
    epsilon = default if call.setting("epsilon") is None else call.real("epsilon")
    return compute("rsqrt", compute("add", variance, number(epsilon, variance)))


@reads("LayerNorm", takes=("x", "gamma", "beta"))
def layer_normalization(call: OperationCall) -> Term:
    """Less the mean, over the standard deviation."""
    x, rms = as_float(call.term()), call.flag("rms_scaling")
    axes = _axes(call, x)
    root = _root(call, _mean(x, axes, "var"), 1e-7)
    if rms:
        return _scaled(call, compute("multiply", x, root), axes, "gamma", "")
    centred = compute("multiply", compute("subtract", x, _mean(x, axes)), root)
    return _scaled(call, centred, axes, "gamma", "beta")


@reads("RMSNorm", takes=("x", "scale"))
def rms_normalization(call: OperationCall) -> Term:
    """Over the root of the mean of squares."""
    x = as_float(call.term())
    axes = _axes(call, x)
    root = _root(call, _mean(compute("square", x), axes), 1e-7)
    scaled = compute("multiply", x, root)
    return scaled if call.item("scale") is None else compute("multiply", scaled, as_float(call.term("scale")))


@reads("BatchNorm", takes=("x", "mean", "variance", "offset", "scale"))
def batch_normalization(call: OperationCall) -> Term:
    """Less a mean, over the root of a variance, both given."""
    x = as_float(call.term())
    axes = _axes(call, x)
    mean, variance = (_spread(as_float(term), x, axes) for term in call.terms("mean", "variance"))
    centred = compute("subtract", x, mean)
    return _scaled(call, compute("multiply", centred, _root(call, variance, 1e-3)), axes, "scale", "offset")
