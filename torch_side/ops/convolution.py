"""`ops.Conv1D` <-> `torch.nn.Conv1d` between two transpositions, and the activation after it."""

from __future__ import annotations

from torch import fx, nn

from biport import ops
from biport.errors import UnsupportedError
from torch_side import layers
from torch_side.reading.fx_reader import Bound, FxReader, arrays, build
from torch_side.registry import Inputs, Masks, Outputs, StateDict, reads, states, writes
from torch_side.shared.activations import is_keras, spelled, write_activation
from torch_side.shared.channels import ChannelsFirst, channels_first, swaps, write_transposed
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


@reads(nn.Conv1d, layers.Conv1d)
def read_conv1d(reader: FxReader, node: fx.Node) -> Bound:
    """The layer together with the activation that is its only use, transposed back before it or not."""
    layer, owner = reader.module(node), reader.owner(node)
    (argument,) = reader.arguments(node, "input")
    source = channels_first(reader, node, argument)
    reader.require(node, padding_mode=(layer.padding_mode, "zeros"))
    activation, transposed, after = _activation(reader, node)
    op = build(
        owner,
        ops.Conv1D,
        input_size=layer.in_channels,
        output_size=layer.out_channels,
        kernel_size=layer.kernel_size[0],
        strides=layer.stride[0],
        padding=_padding(owner, layer),
        dilation=layer.dilation[0],
        groups=layer.groups,
        activation=activation or "linear",
        **arrays(owner, {"weight": layer.weight, "bias": layer.bias}),
    )
    (output,) = reader.emit(node, op, [source])
    if activation:
        # The transposition before it, if there is one, has no other use.
        reader.bound |= dict.fromkeys(after, output if transposed else ChannelsFirst(output))
    return ChannelsFirst(output)


def _padding(owner: str, layer: nn.Conv1d) -> str:
    if isinstance(layer, layers.Conv1d):
        return layer.keras_padding
    if isinstance(layer.padding, str):
        return layer.padding
    total = (layer.kernel_size[0] - 1) * layer.dilation[0]
    if layer.padding[0] == 0:
        return "valid"
    if layer.stride[0] == 1 and 2 * layer.padding[0] == total:
        return "same"
    raise UnsupportedError(owner, "padding", layer.padding[0], "0, or what keeps T")


def _activation(reader: FxReader, node: fx.Node) -> tuple[str | None, bool, list[fx.Node]]:
    """The activation, whether the value is transposed back before it, and the nodes that are read with it."""
    then = reader.only_user(node)
    transposed = then is not None and swaps(then)
    last = reader.only_user(then) if then is not None and transposed else then
    if then is None or last is None or (spelling := spelled(reader, last)) is None:
        return None, False, []
    name, settings = spelling
    if not transposed and settings.get("dim") is not None:
        # Channels first, the features are the second axis.
        settings = settings | {"dim": -1 if settings["dim"] in (1, -2) else 0}
    return (name if is_keras(name, settings, 3) else None), transposed, [then, last]
