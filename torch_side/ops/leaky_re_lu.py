"""`ops.LeakyReLU` <-> `torch.nn.LeakyReLU`."""

from __future__ import annotations

from torch import fx, nn

from biport import ops
from torch_side.ops.in_place import check_inplace
from torch_side.reader import Bound, Reader, build
from torch_side.registry import reads, writes
from torch_side.writer import Writer


@writes(ops.LeakyReLU)
def write_leaky_re_lu(
    op: ops.LeakyReLU, writer: Writer, inputs: list[fx.Node], masks: list[fx.Node | None]
) -> tuple[fx.Node, ...]:
    """``self.leaky_re_lu(x)``."""
    return (writer.module(lambda op: nn.LeakyReLU(op.negative_slope), inputs[0]),)


@reads(nn.LeakyReLU)
def read_leaky_re_lu(reader: Reader, node: fx.Node) -> Bound:
    """The layer."""
    module = reader.module(node)
    check_inplace(reader, node, module.inplace)
    op = build(reader.owner(node), ops.LeakyReLU, negative_slope=module.negative_slope)
    (x,) = reader.arguments(node, "input")
    return reader.emit(node, op, [reader.value(node, x)])[0]
