"""`ops.OnesLike` <-> `torch_side.layers.masks.every_step`."""

from __future__ import annotations

from torch import fx

from biport import ops
from torch_side.layers.masks import every_step
from torch_side.reader import Bound, Reader
from torch_side.registry import reads, writes
from torch_side.writer import Writer


@writes(ops.OnesLike)
def write_ones_like(
    op: ops.OnesLike, writer: Writer, inputs: list[fx.Node], masks: list[fx.Node | None]
) -> tuple[fx.Node, ...]:
    """``every_step(x)``."""
    return (writer.call(every_step, inputs[0]),)


@reads(every_step)
def read_ones_like(reader: Reader, node: fx.Node) -> Bound:
    """The mask of every step."""
    (x,) = reader.arguments(node, "x")
    return reader.emit(node, ops.OnesLike(), [reader.value(node, x)])[0]
