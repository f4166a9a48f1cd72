"""`ops.Cropping1D` <-> `torch_side.layers.Cropping1D`."""

from __future__ import annotations

from torch import fx

from biport import ops
from torch_side import layers
from torch_side.reader import Bound, Reader, build
from torch_side.registry import reads, writes
from torch_side.writer import Writer


@writes(ops.Cropping1D)
def write_cropping1d(
    op: ops.Cropping1D, writer: Writer, inputs: list[fx.Node], masks: list[fx.Node | None]
) -> tuple[fx.Node, ...]:
    """``self.cropping1d(x)``."""
    return (writer.module(lambda op: layers.Cropping1D(*op.cropping), inputs[0]),)


@reads(layers.Cropping1D)
def read_cropping1d(reader: Reader, node: fx.Node) -> Bound:
    """The layer."""
    module = reader.module(node)
    op = build(reader.owner(node), ops.Cropping1D, cropping=module.cropping)
    (x,) = reader.arguments(node, "x")
    return reader.emit(node, op, [reader.value(node, x)])[0]
