"""Convolutional LSTMs <-> `torch_side.layers.ConvLSTM1d`, `ConvLSTM2d` and `ConvLSTM3d`.

These have the channels first, ``(N, T, I, *S)``, where a graph has ``(N, T, *S, I)``.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from torch import fx, nn

from biport import ops
from biport.gates import split_gates, stack_gates
from biport.ops.conv_lstm import CONV_LSTMS
from torch_side import layers
from torch_side.reading.layer_call import LayerCall, arrays, build
from torch_side.registry import Inputs, Masks, Outputs, StateDict, reads, states, writes
from torch_side.shared.activations import ACTIVATION_MODULES, activation_name
from torch_side.shared.channels import same_in_all
from torch_side.writing.graph_writer import GraphWriter

ORDER = "ifco"
"""Of the gates, as in torch's LSTM, whose g is the candidate c."""

MODULES: Mapping[int, Callable[..., nn.Module]] = {
    1: layers.ConvLSTM1d,
    2: layers.ConvLSTM2d,
    3: layers.ConvLSTM3d,
}
"""By the number of axes."""

OVER_CHANNELS: Mapping[str, Callable[[], nn.Module]] = {
    "log_softmax": partial(nn.LogSoftmax, dim=1),
    "softmax": partial(nn.Softmax, dim=1),
}
"""Activations that look at all features, which are not the last axis here."""

SETTINGS = ("dropout", "recurrent_dropout")


@states(*CONV_LSTMS.values())
def state_conv_lstm(op: ops.ConvolutionalLSTM) -> StateDict:
    """The ``state_dict`` of the layer."""
    bias = {} if op.bias is None else {"input_conv.bias": stack_gates(op.bias, ORDER)}
    return {
        "input_conv.weight": stack_gates(op.weight_ih, ORDER),
        **bias,
        "hidden_conv.weight": stack_gates(op.weight_hh, ORDER),
    }


@writes(*CONV_LSTMS.values())
def write_conv_lstm(op: ops.ConvolutionalLSTM, writer: GraphWriter, inputs: Inputs, masks: Masks) -> Outputs:
    """``conv_lstm = self.conv_lstm(x)``, then ``conv_lstm[0]``, the outputs, or ``[:, -1]`` of them."""
    x, *start = inputs
    output, final = write_direction(op, writer, x, masks[0], start)
    return (output, *final)


def write_direction(
    op: ops.ConvolutionalLSTM,
    writer: GraphWriter,
    x: fx.Node,
    mask: fx.Node | None,
    start: Sequence[fx.Node],
    part: str = "",
) -> tuple[Any, list[Any]]:
    """One layer: its output, and its final states where they are given."""
    if op.reverse:
        x = writer.method("flip", x, 1)
        mask = None if mask is None else writer.method("flip", mask, 1)
    given: list[Any] = [_channels_first(writer, x, op, 2)]
    if start:
        given.append(tuple(_channels_first(writer, state, op, 1) for state in start))
    zero = mask is None or op.zero_output_for_mask
    result = writer.module(lambda _: _layer(op, zero), *given, part=part, mask=mask)
    output = writer.call(operator.getitem, result, 0)
    if not op.return_sequences:
        output = writer.call(operator.getitem, output, (slice(None), -1))
    output = _channels_last(writer, output, op, 2 if op.return_sequences else 1)
    if not op.return_state:
        return output, []
    final = writer.call(operator.getitem, result, 1)
    each = (writer.call(operator.getitem, final, at) for at in range(len(op.states)))
    return output, [_channels_last(writer, state, op, 1) for state in each]


def _layer(op: ops.ConvolutionalLSTM, zero_output: bool) -> nn.Module:
    settings: dict[str, Any] = {"bias": op.bias is not None, "padding": op.padding}
    settings |= {"stride": same_in_all(op.strides), "dilation": same_in_all(op.dilation)}
    settings |= {name: getattr(op, name) for name in SETTINGS}
    for name, default in (("activation", "tanh"), ("recurrent_activation", "sigmoid")):
        if (function := getattr(op, name)) != default:
            settings[name] = ({**ACTIVATION_MODULES, **OVER_CHANNELS})[function]()
    settings |= {} if zero_output else {"zero_output_for_mask": False}
    return MODULES[op.dimensions](op.input_size, op.hidden_size, same_in_all(op.kernel_size), **settings)


def _channels_first(writer: GraphWriter, x: fx.Node, op: ops.ConvolutionalLSTM, lead: int) -> fx.Node:
    return writer.method("permute", x, *_to_first(lead, op.dimensions))


def _channels_last(writer: GraphWriter, x: fx.Node, op: ops.ConvolutionalLSTM, lead: int) -> fx.Node:
    return writer.method("permute", x, *_to_last(lead, op.dimensions))


def _to_first(lead: int, dimensions: int) -> tuple[int, ...]:
    """The permutation that puts the last axis behind the first ``lead``."""
    return (*range(lead), lead + dimensions, *range(lead, lead + dimensions))


def _to_last(lead: int, dimensions: int) -> tuple[int, ...]:
    """The permutation that puts the axis behind the first ``lead`` last."""
    return (*range(lead), *range(lead + 1, lead + 1 + dimensions), lead)


@reads(layers.ConvLSTM1d, layers.ConvLSTM2d, layers.ConvLSTM3d)
def read_conv_lstm(call: LayerCall) -> Any:
    """The layer, under a mask or not."""
    layer, owner = call.module, call.owner
    x, hx, mask = call.arguments("input", hx=None, mask=None)
    count = layer.input_conv.weight.dim() - 2
    op = build(owner, CONV_LSTMS[count], **_settings(call), **_weights(owner, layer))
    inputs = [_permuted(call, call.value(x), _to_first, 2, count)]
    inputs += [_permuted(call, call.value(state), _to_first, 1, count) for state in hx or ()]
    masks = [None if mask is None else call.value(mask), *[None] * (len(inputs) - 1)]
    _relate_sizes(call, op, inputs, masks[0])
    output, *final = call.emit(op, inputs, masks)
    last = [_permuted(call, state, _to_last, 1, count) for state in final]
    return _permuted(call, output, _to_last, 2, count), tuple(last)


def _relate_sizes(
    call: LayerCall, op: ops.ConvolutionalLSTM, inputs: Sequence[str], mask: str | None
) -> None:
    """Say that states and mask are of the sizes that go with the sequence."""
    rows, steps, *step = call.tensors[inputs[0]].shape
    pairs = [(state, (rows, *shape)) for state, shape in zip(inputs[1:], op.state_shapes(step), strict=False)]
    pairs += [] if mask is None else [(mask, (rows, steps))]
    for name, shape in pairs:
        for size, wanted in zip(call.tensors[name].shape, shape, strict=True):
            call.same_size(size, wanted)


def _permuted(
    call: LayerCall, value: str, turned: Callable[[int, int], tuple[int, ...]], lead: int, count: int
) -> str:
    """A value of torch in the order of the graph, or the other way round: the inverse of ``turned``."""
    axes = turned(lead, count)
    inverse = tuple(axes.index(axis) for axis in range(len(axes)))
    return call.emit(ops.PermuteDims(axes=inverse), [value])[0]


def _settings(call: LayerCall) -> dict[str, Any]:
    layer = call.module
    convolution = layer.input_conv
    call.require(padding_mode=(convolution.padding_mode, "zeros"))
    settings = {name: getattr(layer, name) for name in SETTINGS}
    for name in ("activation", "recurrent_activation"):
        settings[name] = _activation(getattr(layer, name))
        call.require(**{name: (settings[name] is not None, True)})
    return settings | {
        "input_size": convolution.in_channels,
        "hidden_size": layer.hidden_channels,
        "kernel_size": convolution.kernel_size,
        "strides": convolution.stride,
        "padding": layer.padding,
        "dilation": convolution.dilation,
        "return_sequences": True,
        "return_state": True,
        "zero_output_for_mask": layer.zero_output_for_mask,
    }


def _activation(module: nn.Module) -> str | None:
    """The name of an activation; one over the last axis is none that an op has here."""
    over = {repr(make()): name for name, make in OVER_CHANNELS.items()}
    name = over.get(repr(module), activation_name(module))
    return None if name in OVER_CHANNELS and repr(module) not in over else name


def _weights(owner: str, layer: Any) -> dict[str, Any]:
    tensors = arrays(
        owner,
        {
            "weight_ih": layer.input_conv.weight,
            "weight_hh": layer.hidden_conv.weight,
            "bias": layer.input_conv.bias,
        },
    )
    return {name: None if array is None else split_gates(array, ORDER) for name, array in tensors.items()}
