"""`ops.UpSampling1D` <-> `torch_side.layers.UpSampling1D`."""

from __future__ import annotations

from torch import fx

from biport import ops
from torch_side import layers
from torch_side.reader import Bound, Reader, build
from torch_side.registry import reads, writes
from torch_side.writer import Writer


@writes(ops.UpSampling1D)
def write_up_sampling1d(
    op: ops.UpSampling1D, writer: Writer, inputs: list[fx.Node], masks: list[fx.Node | None]
) -> tuple[fx.Node, ...]:
    """``self.up_sampling1d(x)``."""
    return (writer.module(lambda op: layers.UpSampling1D(op.size), inputs[0]),)


@reads(layers.UpSampling1D)
def read_up_sampling1d(reader: Reader, node: fx.Node) -> Bound:
    """The layer."""
    module = reader.module(node)
    op = build(reader.owner(node), ops.UpSampling1D, size=module.size)
    (x,) = reader.arguments(node, "x")
    return reader.emit(node, op, [reader.value(node, x)])[0]
