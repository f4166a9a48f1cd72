"""`ops.Reshape` <-> `torch_side.layers.Reshape`; `torch.nn.Unflatten` of rows is read too."""

from __future__ import annotations

from torch import fx, nn

from biport import ops
from biport.errors import UnsupportedError
from torch_side import layers
from torch_side.reader import Bound, Reader, build
from torch_side.registry import reads, writes
from torch_side.writer import Writer


@writes(ops.Reshape)
def write_reshape(
    op: ops.Reshape, writer: Writer, inputs: list[fx.Node], masks: list[fx.Node | None]
) -> tuple[fx.Node, ...]:
    """``self.reshape(x)``."""
    return (writer.module(lambda op: layers.Reshape(op.target_shape), inputs[0]),)


@reads(layers.Reshape)
def read_reshape(reader: Reader, node: fx.Node) -> Bound:
    """The layer."""
    module = reader.module(node)
    op = build(reader.owner(node), ops.Reshape, target_shape=module.shape)
    (x,) = reader.arguments(node, "x")
    return reader.emit(node, op, [reader.value(node, x)])[0]


@reads(nn.Unflatten)
def read_unflatten(reader: Reader, node: fx.Node) -> Bound:
    """``nn.Unflatten(1, sizes)`` of ``(N, I)``."""
    module = reader.module(node)
    (x,) = reader.arguments(node, "input")
    source = reader.value(node, x)
    if reader.rank(source) != 2 or module.dim not in (1, -1):
        raise UnsupportedError(reader.owner(node), "dim", module.dim, "1 of (N, I)")
    op = build(reader.owner(node), ops.Reshape, target_shape=tuple(module.unflattened_size))
    return reader.emit(node, op, [source])[0]
