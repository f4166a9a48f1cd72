"""`ops.Concatenate` <-> `torch.cat`; `torch_side.layers.Concatenate` is read too."""

from __future__ import annotations

from typing import Any

import torch
from torch import fx

from biport import ops
from biport.errors import UnsupportedError
from torch_side import layers
from torch_side.reader import Bound, Lazy, Reader, build
from torch_side.registry import reads, writes
from torch_side.writer import Writer


@writes(ops.Concatenate)
def write_concatenate(
    op: ops.Concatenate, writer: Writer, inputs: list[fx.Node], masks: list[fx.Node | None]
) -> tuple[fx.Node, ...]:
    """``torch.cat([a, b], dim=-1)``."""
    return (writer.call(torch.cat, inputs, dim=op.axis),)


@reads(torch.cat, torch.concat, torch.concatenate)
def read_concatenate(reader: Reader, node: fx.Node) -> Bound:
    """Tensors side by side, or the two final states of a bidirectional `torch.nn.LSTM`."""
    tensors, dim = reader.arguments(node, "tensors", dim=0)
    return _joined(reader, node, tensors, dim)


@reads(layers.Concatenate)
def read_concatenate_layer(reader: Reader, node: fx.Node) -> Bound:
    """The layer."""
    return _joined(reader, node, node.args, reader.module(node).dim)


def _joined(reader: Reader, node: fx.Node, tensors: Any, dim: int) -> str:
    items = reader.look(tensors)
    if not isinstance(items, tuple):
        raise UnsupportedError(reader.owner(node), "tensors", str(tensors), "a list of tensors")
    if items and isinstance(items[0], Lazy):
        joined = items[0].joined(items, dim, reader.owner(node))
        if joined is not None:
            return joined
    names = [item.value(reader.owner(node)) if isinstance(item, Lazy) else item for item in items]
    op = build(reader.owner(node), ops.Concatenate, axis=dim)
    return reader.emit(node, op, names)[0]
