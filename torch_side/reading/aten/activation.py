"""Activations: by Keras' name where it has the same, else as a layer or a few operations."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from biport import ops
from biport.graph import Node
from biport.ops.activation import OVER_FEATURES
from biport.ops.shaping import WHOLE
from torch_side.reading.aten_call import AtenCall
from torch_side.reading.layer_call import build
from torch_side.registry import reads_aten

NAMES: Mapping[str, str] = {
    "relu": "relu",
    "relu6": "relu6",
    "sigmoid": "sigmoid",
    "special_expit": "sigmoid",
    "tanh": "tanh",
    "selu": "selu",
    "silu": "silu",
    "mish": "mish",
    "hardswish": "hard_silu",
    "hardsigmoid": "hard_sigmoid",
    "log_sigmoid": "log_sigmoid",
}
"""Functions without parameters, by Keras' names."""

LAYERS = tuple(
    f"aten.{name}" for name in ("linear.default", "conv1d.default", "conv1d.padding", "convolution.default")
)
"""What `ops.Dense` and `ops.Conv1D` are read from, which have an activation of their own."""


def float_input(call: AtenCall, name: str = "self") -> str:
    """The tensor, of integers too, as floats like those that come out."""
    return call.operand(name, call.result_dtype)


def activated(call: AtenCall, function: str, x: str) -> str:
    """An activation called by Keras' name; a layer that computes ``x`` for it alone takes it along."""
    layer = _layer_alone(call, x)
    if layer is None or (function in OVER_FEATURES and layer.outputs[0] != x):
        return call.apply(ops.Activation(function=function), x)
    op: Any = layer.op
    call.reader.replace(layer.outputs[0], dataclasses.replace(op, activation=function))
    return x


def _layer_alone(call: AtenCall, x: str) -> Node | None:
    """The dense layer or the convolution that gives ``x`` for this alone, and has no activation yet."""
    source, maker = call["self"], call.reader.maker(x)
    if str(source.target) not in LAYERS or not call.reader.is_only_use(call.node, x):
        return None
    # Another call of the same layer shares its op, and has no such activation.
    if any(len(part.users) > 1 for part in source.all_input_nodes if call.is_static(part)):
        return None
    if maker is not None and isinstance(maker.op, ops.PermuteDims):
        maker = call.reader.maker(maker.inputs[0])
    plain = (
        maker is not None and isinstance(maker.op, ops.Dense | ops.Conv1D) and maker.op.activation == "linear"
    )
    return maker if plain else None


@reads_aten(*(f"{name}.default" for name in NAMES))
def read_named(call: AtenCall) -> str:
    """``torch.tanh(x)`` and others without parameters."""
    return activated(call, NAMES[call.name], float_input(call))


@reads_aten("log_sigmoid_forward.default")
def read_log_sigmoid(call: AtenCall) -> tuple[str, str]:
    """``functional.logsigmoid(x)`` as torch computes it; what else it gives is for its gradient."""
    y = activated(call, "log_sigmoid", call.value("self"))
    return y, y


@reads_aten("leaky_relu.default")
def read_leaky_relu(call: AtenCall) -> str:
    """``functional.leaky_relu(x, 0.1)``."""
    return leaky(call, call.number("negative_slope"))


@reads_aten("rrelu.default", "rrelu_with_noise.default")
def read_rrelu(call: AtenCall) -> str:
    """`nn.RReLU`, whose slope is random in training alone."""
    call.require(training=False)
    return leaky(call, (call.number("lower") + call.number("upper")) / 2)


def leaky(call: AtenCall, slope: float) -> str:
    """A line of another slope below zero."""
    x = float_input(call)
    if slope == 0.2:
        return activated(call, "leaky_relu", x)
    if slope >= 0:
        return call.apply(ops.LeakyReLU(negative_slope=slope), x)
    return where_positive(call, x, call.compute("multiply", x, call.like(slope, x)))


def where_positive(call: AtenCall, x: str, other: str) -> str:
    """``x`` above zero."""
    above = call.compute("greater", x, call.like(0, x))
    return call.apply(ops.Where(), above, x, other)


@reads_aten("elu.default")
def read_elu(call: AtenCall) -> str:
    """``functional.elu(x, alpha)``."""
    call.require(scale=1, input_scale=1)
    x, alpha = float_input(call), call.number("alpha")
    return activated(call, "elu", x) if alpha == 1 else call.apply(ops.ELU(alpha=alpha), x)


@reads_aten("celu.default")
def read_celu(call: AtenCall) -> str:
    """``functional.celu(x, alpha)``."""
    x, alpha = float_input(call), call.number("alpha")
    if alpha == 1:
        return activated(call, "celu", x)
    raised = call.compute("expm1", call.compute("divide", x, call.like(alpha, x)))
    return where_positive(call, x, call.compute("multiply", raised, call.like(alpha, x)))


@reads_aten("gelu.default")
def read_gelu(call: AtenCall) -> str:
    """``functional.gelu(x)``, exact or by tanh."""
    x = float_input(call)
    if call["approximate"] == "none":
        return activated(call, "gelu", x)
    cube = call.compute("multiply", call.compute("square", x), x)
    inner = call.compute("add", x, call.compute("multiply", cube, call.like(0.044715, x)))
    inner = call.compute("multiply", inner, call.like(math.sqrt(2 / math.pi), x))
    raised = call.compute("add", call.apply(ops.Activation(function="tanh"), inner), call.like(1, x))
    return call.compute("multiply", call.compute("multiply", x, call.like(0.5, x)), raised)


@reads_aten("hardtanh.default")
def read_hardtanh(call: AtenCall) -> str:
    """``functional.hardtanh(x, -1, 1)``."""
    x, limits = float_input(call), (call.number("min_val"), call.number("max_val"))
    match limits:
        case (-1, 1):
            return activated(call, "hard_tanh", x)
        case (0, 6):
            return activated(call, "relu6", x)
        case (0, top) if math.isfinite(top):
            return call.apply(ops.ReLU(max_value=float(top)), x)
    return call.apply(ops.Clip(min=limits[0], max=limits[1]), x)


@reads_aten("softplus.default")
def read_softplus(call: AtenCall) -> str:
    """``functional.softplus(x, beta, threshold)``, a straight line above the threshold."""
    x, beta, threshold = float_input(call), call.number("beta"), call.number("threshold")
    # A threshold of 20 is 2e-9 off, less than float32 can tell there.
    if beta == 1 and threshold >= 20:
        return activated(call, "softplus", x)
    scaled = call.compute("multiply", x, call.like(beta, x))
    curved = call.apply(ops.Activation(function="softplus"), scaled)
    curved = call.compute("divide", curved, call.like(beta, x))
    above = call.compute("greater", scaled, call.like(threshold, x))
    return call.apply(ops.Where(), above, x, curved)


@reads_aten("hardshrink.default")
def read_hardshrink(call: AtenCall) -> str:
    """``functional.hardshrink(x, lambd)``."""
    x, width = float_input(call), call.number("lambd")
    if width == 0.5:
        return activated(call, "hard_shrink", x)
    near = call.compute("less_equal", call.compute("abs", x), call.like(width, x))
    return call.apply(ops.Where(), near, call.like(0, x), x)


@reads_aten("softshrink.default")
def read_softshrink(call: AtenCall) -> str:
    """``functional.softshrink(x, lambd)``."""
    x, width = float_input(call), call.number("lambd")
    if width == 0.5:
        return activated(call, "soft_shrink", x)
    return call.compute("subtract", x, call.apply(ops.Clip(min=-width, max=width), x))


@reads_aten("threshold.default")
def read_threshold(call: AtenCall) -> str:
    """``functional.threshold(x, threshold, value)``."""
    x = call.value("self")
    below = call.compute("less_equal", x, call.operand("threshold", call.dtype(x)))
    return call.apply(ops.Where(), below, call.operand("value", call.dtype(x)), x)


@reads_aten("softmax.int", "_softmax.default")
def read_softmax(call: AtenCall) -> str:
    """``x.softmax(-1)``."""
    x = float_input(call)
    axis = call.axis(x)
    if axis == call.rank(x) - 1:
        return activated(call, "softmax", x)
    return call.apply(ops.Softmax(axis=axis), x)


@reads_aten("log_softmax.int", "special_log_softmax.default", "_log_softmax.default")
def read_log_softmax(call: AtenCall) -> str:
    """``x.log_softmax(-1)``."""
    x = float_input(call)
    axis = call.axis(x)
    if axis == call.rank(x) - 1:
        return activated(call, "log_softmax", x)
    return call.apply(ops.LogSoftmax(axis=axis), x)


@reads_aten("prelu.default", "_prelu_kernel.default")
def read_prelu(call: AtenCall) -> str:
    """`nn.PReLU`, with one slope, or one for each channel, along the second axis."""
    x = call.value("self")
    channels = call.rank(x) - 2 if call.name == "prelu" else 0
    if call.is_static("weight") and call.rank(x) > 1:
        alpha = call.array("weight")
        assert alpha is not None
        own = (*alpha.shape, *[1] * channels) if call.name == "prelu" else alpha.shape[1:]
        return call.apply(build(call.owner, ops.PReLU, alpha=alpha.reshape(own)), x, key=call["weight"])
    slope = call.value("weight")
    slope = call.apply(ops.ExpandDims(axes=tuple(range(1, channels + 1))), slope) if channels > 0 else slope
    return where_positive(call, x, call.compute("multiply", x, slope))


@reads_aten("glu.default")
def read_glu(call: AtenCall) -> str:
    """``functional.glu(x)``: one part along an axis, gated by the other."""
    x = call.value("self")
    axis = call.axis(x)
    middle = call.tensor(x).shape[axis] // 2
    linear, gate = (
        call.apply(ops.Slice(items=tuple(part if i == axis else WHOLE for i in range(call.rank(x)))), x)
        for part in ((0, middle, 1), (middle, None, 1))
    )
    return call.apply(ops.Multiply(), linear, call.apply(ops.Activation(function="sigmoid"), gate))
