"""`ops.ELU` <-> `torch.nn.ELU`."""

from __future__ import annotations

from torch import fx, nn

from biport import ops
from torch_side.ops.in_place import check_inplace
from torch_side.reader import Bound, Reader, build
from torch_side.registry import reads, writes
from torch_side.writer import Writer


@writes(ops.ELU)
def write_elu(
    op: ops.ELU, writer: Writer, inputs: list[fx.Node], masks: list[fx.Node | None]
) -> tuple[fx.Node, ...]:
    """``self.elu(x)``."""
    return (writer.module(lambda op: nn.ELU(op.alpha), inputs[0]),)


@reads(nn.ELU)
def read_elu(reader: Reader, node: fx.Node) -> Bound:
    """The layer."""
    module = reader.module(node)
    check_inplace(reader, node, module.inplace)
    op = build(reader.owner(node), ops.ELU, alpha=module.alpha)
    (x,) = reader.arguments(node, "input")
    return reader.emit(node, op, [reader.value(node, x)])[0]
