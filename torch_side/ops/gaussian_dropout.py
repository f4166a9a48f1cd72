"""`ops.GaussianDropout` <-> `torch_side.layers.GaussianDropout`."""

from __future__ import annotations

from torch import fx

from biport import ops
from torch_side import layers
from torch_side.reader import Bound, Reader, build
from torch_side.registry import reads, writes
from torch_side.writer import Writer


@writes(ops.GaussianDropout)
def write_gaussian_dropout(
    op: ops.GaussianDropout, writer: Writer, inputs: list[fx.Node], masks: list[fx.Node | None]
) -> tuple[fx.Node, ...]:
    """``self.gaussian_dropout(x)``."""
    return (writer.module(lambda op: layers.GaussianDropout(op.rate), inputs[0]),)


@reads(layers.GaussianDropout)
def read_gaussian_dropout(reader: Reader, node: fx.Node) -> Bound:
    """The layer."""
    module = reader.module(node)
    op = build(reader.owner(node), ops.GaussianDropout, rate=module.p)
    (x,) = reader.arguments(node, "x")
    return reader.emit(node, op, [reader.value(node, x)])[0]
