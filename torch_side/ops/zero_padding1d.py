"""`ops.ZeroPadding1D` <-> `torch_side.layers.ZeroPadding1D`."""

from __future__ import annotations

from torch import fx

from biport import ops
from torch_side import layers
from torch_side.reader import Bound, Reader, build
from torch_side.registry import reads, writes
from torch_side.writer import Writer


@writes(ops.ZeroPadding1D)
def write_zero_padding1d(
    op: ops.ZeroPadding1D, writer: Writer, inputs: list[fx.Node], masks: list[fx.Node | None]
) -> tuple[fx.Node, ...]:
    """``self.zero_padding1d(x)``."""
    return (writer.module(lambda op: layers.ZeroPadding1D(*op.padding), inputs[0]),)


@reads(layers.ZeroPadding1D)
def read_zero_padding1d(reader: Reader, node: fx.Node) -> Bound:
    """The layer."""
    module = reader.module(node)
    op = build(reader.owner(node), ops.ZeroPadding1D, padding=module.padding)
    (x,) = reader.arguments(node, "x")
    return reader.emit(node, op, [reader.value(node, x)])[0]
