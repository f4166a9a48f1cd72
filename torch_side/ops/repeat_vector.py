"""`ops.RepeatVector` <-> `torch_side.layers.RepeatVector`."""

from __future__ import annotations

from torch import fx

from biport import ops
from torch_side import layers
from torch_side.reader import Bound, Reader, build
from torch_side.registry import reads, writes
from torch_side.writer import Writer


@writes(ops.RepeatVector)
def write_repeat_vector(
    op: ops.RepeatVector, writer: Writer, inputs: list[fx.Node], masks: list[fx.Node | None]
) -> tuple[fx.Node, ...]:
    """``self.repeat_vector(x)``."""
    return (writer.module(lambda op: layers.RepeatVector(op.n), inputs[0]),)


@reads(layers.RepeatVector)
def read_repeat_vector(reader: Reader, node: fx.Node) -> Bound:
    """The layer."""
    module = reader.module(node)
    op = build(reader.owner(node), ops.RepeatVector, n=module.n)
    (x,) = reader.arguments(node, "x")
    return reader.emit(node, op, [reader.value(node, x)])[0]
