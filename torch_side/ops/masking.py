"""`ops.Masking` <-> `torch_side.layers.Masking`."""

from __future__ import annotations

from torch import fx

from biport import ops
from torch_side import layers
from torch_side.reader import Bound, Reader, build
from torch_side.registry import reads, writes
from torch_side.writer import Writer


@writes(ops.Masking)
def write_masking(
    op: ops.Masking, writer: Writer, inputs: list[fx.Node], masks: list[fx.Node | None]
) -> tuple[fx.Node, ...]:
    """``self.masking(x)``."""
    return (writer.module(lambda op: layers.Masking(op.mask_value), inputs[0]),)


@reads(layers.Masking)
def read_masking(reader: Reader, node: fx.Node) -> Bound:
    """The layer."""
    module = reader.module(node)
    op = build(reader.owner(node), ops.Masking, mask_value=module.value)
    (x,) = reader.arguments(node, "x")
    return reader.emit(node, op, [reader.value(node, x)])[0]
