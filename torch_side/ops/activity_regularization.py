"""`ops.ActivityRegularization` <-> `torch_side.layers.ActivityRegularization`."""

from __future__ import annotations

from torch import fx

from biport import ops
from torch_side import layers
from torch_side.reader import Bound, Reader, build
from torch_side.registry import reads, writes
from torch_side.writer import Writer


@writes(ops.ActivityRegularization)
def write_activity_regularization(
    op: ops.ActivityRegularization, writer: Writer, inputs: list[fx.Node], masks: list[fx.Node | None]
) -> tuple[fx.Node, ...]:
    """``self.activity_regularization(x)``."""
    return (writer.module(lambda op: layers.ActivityRegularization(op.l1, op.l2), inputs[0]),)


@reads(layers.ActivityRegularization)
def read_activity_regularization(reader: Reader, node: fx.Node) -> Bound:
    """The layer."""
    module = reader.module(node)
    op = build(reader.owner(node), ops.ActivityRegularization, l1=module.l1, l2=module.l2)
    (x,) = reader.arguments(node, "x")
    return reader.emit(node, op, [reader.value(node, x)])[0]
