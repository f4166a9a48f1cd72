"""`ops.Identity` <-> `torch.nn.Identity`."""

from __future__ import annotations

from torch import fx, nn

from biport import ops
from torch_side.reader import Bound, Reader, build
from torch_side.registry import reads, writes
from torch_side.writer import Writer


@writes(ops.Identity)
def write_identity(
    op: ops.Identity, writer: Writer, inputs: list[fx.Node], masks: list[fx.Node | None]
) -> tuple[fx.Node, ...]:
    """``self.identity(x)``."""
    return (writer.module(lambda op: nn.Identity(), inputs[0]),)


@reads(nn.Identity)
def read_identity(reader: Reader, node: fx.Node) -> Bound:
    """The layer."""
    op = build(reader.owner(node), ops.Identity)
    (x,) = reader.arguments(node, "input")
    return reader.emit(node, op, [reader.value(node, x)])[0]
