"""`ops.Dropout` <-> `torch.nn.Dropout`."""

from __future__ import annotations

from torch import fx, nn
from torch.nn import functional

from biport import ops
from torch_side.reader import Bound, Reader, build
from torch_side.registry import reads, writes
from torch_side.writer import Writer


def dropout(op: ops.Dropout) -> nn.Dropout:
    """A layer with the op's rate."""
    return nn.Dropout(op.rate)


@writes(ops.Dropout)
def write_dropout(
    op: ops.Dropout, writer: Writer, inputs: list[fx.Node], masks: list[fx.Node | None]
) -> tuple[fx.Node, ...]:
    """``self.dropout(x)``."""
    return (writer.module(dropout, inputs[0]),)


@reads(nn.Dropout)
def read_dropout(reader: Reader, node: fx.Node) -> Bound:
    """The layer."""
    op = build(reader.owner(node), ops.Dropout, rate=reader.module(node).p)
    (x,) = reader.arguments(node, "input")
    return reader.emit(node, op, [reader.value(node, x)])[0]


@reads(functional.dropout)
def read_functional_dropout(reader: Reader, node: fx.Node) -> Bound:
    """``F.dropout(x, p, self.training)``; modules are read in eval mode, so training means always."""
    x, rate, training, _ = reader.arguments(node, "input", p=0.5, training=True, inplace=False)
    reader.require(node, training=(training, False))
    op = build(reader.owner(node), ops.Dropout, rate=rate)
    return reader.emit(node, op, [reader.value(node, x)])[0]
