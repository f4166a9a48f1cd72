"""Activations <-> calls such as `torch.tanh`, or modules; torch's modules and methods are read too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from biport import ops
from biport.ops.activation import OVER_FEATURES
from torch_side import layers
from torch_side.reading.layer_call import LayerCall, arrays, build
from torch_side.registry import (
    ANY_ORDER,
    CHANNELS_FIRST,
    CHANNELS_LAST,
    EVERY_ELEMENT,
    Axes,
    Inputs,
    Masks,
    Outputs,
    StateDict,
    axes_of,
    reads,
    states,
    writes,
    writes_axes,
)
from torch_side.shared.activations import call_activation
from torch_side.writing.graph_writer import GraphWriter


@axes_of(ops.Activation)
def axes_of_activation(op: ops.Activation, inputs: Sequence[ops.Tensor]) -> Axes:
    """It does the same to every element, but for softmax."""
    return ANY_ORDER if op.function in OVER_FEATURES else EVERY_ELEMENT


@writes(ops.Activation)
def write_activation(op: ops.Activation, writer: GraphWriter, inputs: Inputs, masks: Masks) -> Outputs:
    """``torch.tanh(x)``."""
    return (call_activation(writer, op.function, inputs[0]),)


def relu(op: ops.ReLU) -> nn.Module:
    """Torch's own module where there is one."""
    match op.max_value, op.negative_slope, op.threshold:
        case None, 0, 0:
            return nn.ReLU()
        case 6, 0, 0:
            return nn.ReLU6()
    return layers.ReLU(op.max_value, op.negative_slope, op.threshold)


@writes_axes(EVERY_ELEMENT, ops.ReLU)
def write_re_lu(op: ops.ReLU, writer: GraphWriter, inputs: Inputs, masks: Masks) -> Outputs:
    """``self.re_lu(x)``."""
    return (writer.module(relu, inputs[0]),)


@reads(layers.ReLU)
def read_own_re_lu(call: LayerCall) -> Any:
    """The layer."""
    module = call.module
    fields = {name: getattr(module, name) for name in ("max_value", "negative_slope", "threshold")}
    op = build(call.owner, ops.ReLU, **fields)
    (x,) = call.arguments("x")
    return call.emit(op, [call.value(x)])[0]


@writes_axes(EVERY_ELEMENT, ops.LeakyReLU)
def write_leaky_re_lu(op: ops.LeakyReLU, writer: GraphWriter, inputs: Inputs, masks: Masks) -> Outputs:
    """``self.leaky_re_lu(x)``."""
    return (writer.module(lambda op: nn.LeakyReLU(op.negative_slope), inputs[0]),)


@writes_axes(EVERY_ELEMENT, ops.ELU)
def write_elu(op: ops.ELU, writer: GraphWriter, inputs: Inputs, masks: Masks) -> Outputs:
    """``self.elu(x)``."""
    return (writer.module(lambda op: nn.ELU(op.alpha), inputs[0]),)


@states(ops.PReLU)
def state_p_re_lu(op: ops.PReLU) -> StateDict:
    """The ``state_dict`` of the layer."""
    return {"weight": op.alpha}


def _of_maps(op: ops.PReLU) -> bool:
    """Whether it is of feature maps, whose channels torch has first."""
    return op.alpha.ndim > 2


@axes_of(ops.PReLU)
def axes_of_p_re_lu(op: ops.PReLU, inputs: Sequence[ops.Tensor]) -> Axes:
    """Of feature maps as the layers around it have them."""
    return CHANNELS_FIRST if _of_maps(op) else CHANNELS_LAST


@writes(ops.PReLU)
def write_p_re_lu(op: ops.PReLU, writer: GraphWriter, inputs: Inputs, masks: Masks) -> Outputs:
    """``self.p_re_lu(x)``."""
    return (writer.module(lambda op: layers.PReLU(op.alpha.shape, channels_first=_of_maps(op)), inputs[0]),)


@reads(layers.PReLU)
def read_p_re_lu(call: LayerCall) -> Any:
    """The layer."""
    owner = call.owner
    alpha = arrays(owner, {"alpha": call.module.weight})
    (x,) = call.arguments("x")
    op = build(owner, ops.PReLU, **alpha)
    if call.module.channels_first:
        return call.emit_channels_first(op, x)
    return call.emit(op, [call.value(x)])[0]


@writes(ops.Softmax)
def write_softmax(op: ops.Softmax, writer: GraphWriter, inputs: Inputs, masks: Masks) -> Outputs:
    """``self.softmax(x)``, or ``self.softmax(x, mask=mask)``."""
    if masks[0] is None and isinstance(op.axis, int):
        return (writer.module(lambda op: nn.Softmax(op.axis), inputs[0]),)
    return (writer.module(lambda op: layers.Softmax(op.axis), inputs[0], mask=masks[0]),)


@reads(layers.Softmax)
def read_own_softmax(call: LayerCall) -> Any:
    """The layer."""
    op = build(call.owner, ops.Softmax, axis=call.module.dim)
    x, mask = call.arguments("x", mask=None)
    masks = [None if mask is None else call.value(mask)]
    return call.emit(op, [call.value(x)], masks)[0]
