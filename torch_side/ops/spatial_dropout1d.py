"""`ops.SpatialDropout1D` <-> `torch_side.layers.SpatialDropout1D`."""

from __future__ import annotations

from torch import fx

from biport import ops
from torch_side import layers
from torch_side.reader import Bound, Reader, build
from torch_side.registry import reads, writes
from torch_side.writer import Writer


def spatial_dropout1d(op: ops.SpatialDropout1D) -> layers.SpatialDropout1D:
    """A layer with the op's rate."""
    return layers.SpatialDropout1D(op.rate)


@writes(ops.SpatialDropout1D)
def write_spatial_dropout1d(
    op: ops.SpatialDropout1D, writer: Writer, inputs: list[fx.Node], masks: list[fx.Node | None]
) -> tuple[fx.Node, ...]:
    """``self.spatial_dropout1d(x)``."""
    return (writer.module(spatial_dropout1d, inputs[0]),)


@reads(layers.SpatialDropout1D)
def read_spatial_dropout1d(reader: Reader, node: fx.Node) -> Bound:
    """The layer."""
    op = build(reader.owner(node), ops.SpatialDropout1D, rate=reader.module(node).p)
    (x,) = reader.arguments(node, "x")
    return reader.emit(node, op, [reader.value(node, x)])[0]
