"""`ops.Dot` <-> `torch_side.layers.Dot`; `torch.bmm` is read too."""

from __future__ import annotations

import torch
from torch import fx

from biport import ops
from torch_side import layers
from torch_side.reader import Bound, Reader, build
from torch_side.registry import reads, writes
from torch_side.writer import Writer


@writes(ops.Dot)
def write_dot(
    op: ops.Dot, writer: Writer, inputs: list[fx.Node], masks: list[fx.Node | None]
) -> tuple[fx.Node, ...]:
    """``self.dot(a, b)``."""
    return (writer.module(lambda op: layers.Dot(op.axes, op.normalize), *inputs),)


@reads(layers.Dot)
def read_dot(reader: Reader, node: fx.Node) -> Bound:
    """The layer."""
    layer = reader.module(node)
    op = build(reader.owner(node), ops.Dot, axes=layer.axes, normalize=layer.normalize)
    one, two = reader.arguments(node, "one", "two")
    return reader.emit(node, op, [reader.value(node, one), reader.value(node, two)])[0]


@reads(torch.bmm, "bmm")
def read_bmm(reader: Reader, node: fx.Node) -> Bound:
    """``torch.bmm(a, b)``, of ``(N, T, I)`` and ``(N, I, S)``."""
    one, two = reader.arguments(node, "input", "mat2")
    values = [reader.value(node, one), reader.value(node, two)]
    return reader.emit(node, ops.Dot(axes=(2, 1)), values)[0]
