"""`ops.Conv1D` -> `torch.nn.Conv1d` between two transpositions, and the activation after it."""

from __future__ import annotations

from typing import Any

from torch import nn

from biport import ops
from torch_side import layers
from torch_side.reading.layer_call import LayerCall, arrays, build
from torch_side.registry import Inputs, Masks, Outputs, StateDict, reads, states, writes
from torch_side.shared.activations import write_activation
from torch_side.shared.channels import write_transposed
from torch_side.writing.graph_writer import GraphWriter


@states(ops.Conv1D)
def state_conv1d(op: ops.Conv1D) -> StateDict:
    """The ``state_dict`` of the `nn.Conv1d`: ``(O, I / G, K)`` and ``(O,)``."""
    return {"weight": op.weight} | ({} if op.bias is None else {"bias": op.bias})


def convolution(op: ops.Conv1D) -> nn.Conv1d:
    """Torch's own layer where it pads as Keras does, else `torch_side.layers.Conv1d`."""
    sizes = op.input_size, op.output_size, op.kernel_size
    settings = {"dilation": op.dilation, "groups": op.groups, "bias": op.bias is not None}
    # Torch warns of "same" where one end needs more than the other.
    if op.padding == "valid" or (op.padding == "same" and op.strides == 1 and op.span % 2):
        return nn.Conv1d(*sizes, stride=op.strides, padding=op.padding, **settings)
    return layers.Conv1d(*sizes, stride=op.strides, padding=op.padding, **settings)


@writes(ops.Conv1D)
def write_conv1d(op: ops.Conv1D, writer: GraphWriter, inputs: Inputs, masks: Masks) -> Outputs:
    """``torch.relu(self.conv1d(x.transpose(1, 2)).transpose(1, 2))``, or another activation."""
    z = writer.module(convolution, write_transposed(writer, inputs[0]))
    return (write_activation(writer, op.activation, write_transposed(writer, z)),)


@reads(layers.Conv1d)
def read_conv1d(call: LayerCall) -> Any:
    """The layer."""
    layer, owner = call.module, call.owner
    (argument,) = call.arguments("input")
    call.require(padding_mode=(layer.padding_mode, "zeros"))
    op = build(
        owner,
        ops.Conv1D,
        input_size=layer.in_channels,
        output_size=layer.out_channels,
        kernel_size=layer.kernel_size[0],
        strides=layer.stride[0],
        padding=layer.keras_padding,
        dilation=layer.dilation[0],
        groups=layer.groups,
        **arrays(owner, {"weight": layer.weight, "bias": layer.bias}),
    )
    return call.emit_channels_first(op, argument)
