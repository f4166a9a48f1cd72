"""`ops.MaxPooling1D` <-> `torch.nn.MaxPool1d` or `torch_side.layers.MaxPooling1D`."""

from __future__ import annotations

from torch import fx, nn

from biport import ops
from torch_side import layers
from torch_side.channels import Turned, channels_first, write_turned
from torch_side.layers.pooling import single
from torch_side.reader import Bound, Reader, build
from torch_side.registry import reads, writes
from torch_side.writer import Writer


def pooling(op: ops.MaxPooling1D) -> nn.MaxPool1d:
    """Torch's own layer, or one that pads."""
    kind = nn.MaxPool1d if op.padding == "valid" else layers.MaxPooling1D
    return kind(op.pool_size, op.strides)


@writes(ops.MaxPooling1D)
def write_max_pooling1d(
    op: ops.MaxPooling1D, writer: Writer, inputs: list[fx.Node], masks: list[fx.Node | None]
) -> tuple[fx.Node, ...]:
    """``self.pool(x.transpose(1, 2)).transpose(1, 2)``."""
    return (write_turned(writer, writer.module(pooling, write_turned(writer, inputs[0]))),)


@reads(nn.MaxPool1d, layers.MaxPooling1D)
def read_max_pooling1d(reader: Reader, node: fx.Node) -> Bound:
    """The layer, without padding of torch's own, which is the same at both ends."""
    layer = reader.module(node)
    (argument,) = reader.arguments(node, "input")
    source = channels_first(reader, node, argument)
    reader.require(node, padding=(single(layer.padding), 0), ceil_mode=(layer.ceil_mode, False))
    reader.require(node, dilation=(layer.dilation, 1), return_indices=(layer.return_indices, False))
    op = build(
        reader.owner(node),
        ops.MaxPooling1D,
        pool_size=single(layer.kernel_size),
        strides=single(layer.stride),
        padding="same" if isinstance(layer, layers.MaxPooling1D) else "valid",
    )
    return Turned(reader.emit(node, op, [source])[0])
