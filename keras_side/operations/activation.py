"""Activation functions, and what is made of them.

Source:
    keras/src/ops/nn.py and keras/src/backend/tensorflow/nn.py of 3.15.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from biport import ops
from biport.ops import Op
from keras_side.operations.registry import OperationCall, reads
from keras_side.operations.shaping import flat, parts_of, reshaped
from keras_side.operations.terms import Term, apply, as_float, compute, is_float, is_integer, number

ACTIVATIONS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "Celu": ("celu", {"alpha": 1.0}),
    "HardShrink": ("hard_shrink", {"threshold": 0.5}),
    "HardSigmoid": ("hard_sigmoid", {}),
    "HardSilu": ("hard_silu", {}),
    "HardTanh": ("hard_tanh", {}),
    "LogSigmoid": ("log_sigmoid", {}),
    "Mish": ("mish", {}),
    "Relu6": ("relu6", {}),
    "Selu": ("selu", {}),
    "Sigmoid": ("sigmoid", {}),
    "Silu": ("silu", {}),
    "SoftShrink": ("soft_shrink", {"threshold": 0.5}),
    "Softplus": ("softplus", {}),
    "Softsign": ("softsign", {}),
    "SparsePlus": ("sparse_plus", {}),
    "SparseSigmoid": ("sparse_sigmoid", {}),
    "Squareplus": ("squareplus", {"b": 4}),
    "Tanh": ("tanh", {}),
    "TanhShrink": ("tanh_shrink", {}),
}
"""Of one tensor, and the one value of each of their settings."""

OF_INTEGERS = ("Tanh",)
"""Those that Keras computes of integers too, in floats."""


def activated(call: OperationCall, op: Op, x: Term) -> Term:
    """An activation of floats."""
    if not is_float(x):
        raise call.refusal("dtype", x.dtype, "floats")
    return apply(op, x)


@reads(*ACTIVATIONS)
def activation(call: OperationCall) -> Term:
    """One of `ACTIVATIONS`."""
    function, settings = ACTIVATIONS[call.class_name]
    for name, wanted in settings.items():
        value = call.setting(name, wanted)
        if value != wanted:
            raise call.refusal(name, value, repr(wanted))
    x = call.term()
    return activated(
        call, ops.Activation(function=function), as_float(x) if call.class_name in OF_INTEGERS else x
    )


@reads("Relu")
def relu(call: OperationCall) -> Term:
    """Integers stay integers."""
    x = call.term()
    return (
        compute("maximum", x, number(0, x))
        if is_integer(x)
        else activated(call, ops.Activation(function="relu"), x)
    )


@reads("Gelu")
def gelu(call: OperationCall) -> Term:
    """By the error function, or by its approximation with a tanh."""
    x = call.term()
    if not call.setting("approximate", True):
        return activated(call, ops.Activation(function="gelu"), x)
    cube = compute("multiply", number(0.044715, x), compute("pow", x, number(3, x)))
    inside = compute("multiply", number(math.sqrt(2 / math.pi), x), compute("add", x, cube))
    tanh = activated(call, ops.Activation(function="tanh"), inside)
    share = compute("multiply", number(0.5, x), compute("add", number(1, x), tanh))
    return compute("multiply", x, share)


SLOPES: Mapping[str, tuple[type[Op], str, float]] = {
    "Elu": (ops.ELU, "alpha", 1.0),
    "LeakyRelu": (ops.LeakyReLU, "negative_slope", 0.2),
}
"""Of one tensor, with one number, and what that is where nothing is said."""


@reads(*SLOPES)
def slope(call: OperationCall) -> Term:
    """One of `SLOPES`."""
    kind, name, default = SLOPES[call.class_name]
    settings: dict[str, Any] = {name: call.real(name, default)}
    return activated(call, kind(**settings), call.term())


@reads("ReLU")
def relu_of_settings(call: OperationCall) -> Term:
    """``keras.activations.relu`` (keras/src/activations/activations.py)."""
    limit = None if call.setting("max_value") is None else call.real("max_value")
    negative, threshold = call.real("negative_slope", 0.0), call.real("threshold", 0.0)
    return activated(
        call, ops.ReLU(max_value=limit, negative_slope=negative, threshold=threshold), call.term()
    )


@reads("Softmax", "LogSoftmax")
def softmax(call: OperationCall) -> Term:
    """One of the two over one axis, or over all elements together."""
    logarithm = call.class_name == "LogSoftmax"
    x, axis = call.term(), call.setting("axis", -1)
    over_features = ops.Activation(function="log_softmax" if logarithm else "softmax")
    if axis is None:
        return reshaped(activated(call, over_features, flat(x)), x.tensor.shape)
    axis = _one_axis(call, x)
    along = ops.LogSoftmax if logarithm else ops.Softmax
    return activated(call, over_features if axis == x.rank - 1 else along(axis=axis), x)


def _one_axis(call: OperationCall, x: Term) -> int:
    axes = call.axes(x.rank) if "axis" in call.config else (x.rank - 1,)
    if len(axes) != 1:
        raise call.refusal("axis", call.setting("axis"), "one axis, or None for all elements")
    return axes[0]


@reads("Glu")
def glu(call: OperationCall) -> Term:
    """One part of an axis times the sigmoid of the other."""
    x = call.term()
    axis = call.axis(x.rank, default=-1)
    size = x.tensor.shape[axis]
    if not isinstance(size, int) or size % 2:
        raise call.refusal("axis", axis, "an axis of known, even size")
    first, last = parts_of(x, [size // 2] * 2, axis)
    return compute("multiply", first, activated(call, ops.Activation(function="sigmoid"), last))


@reads("Threshold")
def threshold(call: OperationCall) -> Term:
    """``x`` where it is above a number, another number elsewhere."""
    x = call.term()
    above = compute("greater", x, number(call.real("threshold"), x))
    return apply(ops.Where(), above, x, number(call.real("default_value"), x))
