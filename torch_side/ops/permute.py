"""`ops.Permute` <-> `torch.permute` that leaves the batch first; also ``x.transpose(1, 2)``."""

from __future__ import annotations

from typing import Any

import torch
from torch import fx

from biport import ops
from biport.errors import UnsupportedError
from torch_side.channels import PERMUTES, TRANSPOSES, Turned, swaps
from torch_side.reader import Bound, Reader, build
from torch_side.registry import reads, writes
from torch_side.writer import Writer


@writes(ops.Permute)
def write_permute(
    op: ops.Permute, writer: Writer, inputs: list[fx.Node], masks: list[fx.Node | None]
) -> tuple[fx.Node, ...]:
    """``torch.permute(x, (0, 2, 1))``."""
    return (writer.call(torch.permute, inputs[0], (0, *op.dims)),)


@reads(*PERMUTES)
def read_permute(reader: Reader, node: fx.Node) -> Bound:
    """``x.permute(0, 2, 1)``, with the axes one by one or as a tuple."""
    # What write_permute wrote is that op, whatever layer comes behind it.
    if swaps(node) and reader.origin(node) is None:
        return _turned(reader, node)
    found: Any = node.kwargs.get("dims", node.args[1:])
    dims = found[0] if len(found) == 1 and isinstance(found[0], tuple | list) else found
    return _permuted(reader, node, dims)


@reads(*TRANSPOSES)
def read_transpose(reader: Reader, node: fx.Node) -> Bound:
    """``x.transpose(1, 2)``."""
    if swaps(node):
        return _turned(reader, node)
    source = reader.value(node, node.args[0])
    rank, axes = reader.rank(source), node.args[1:]
    if rank is None or node.kwargs or len(axes) != 2 or not all(isinstance(axis, int) for axis in axes):
        raise UnsupportedError(reader.owner(node), "axes", str(axes), "two numbers, as in x.transpose(1, 2)")
    one, two = (axis % rank for axis in axes if isinstance(axis, int))
    order = list(range(rank))
    order[one], order[two] = two, one
    return _permuted(reader, node, order)


def _turned(reader: Reader, node: fx.Node) -> Bound:
    """Time and features swapped, or swapped back."""
    found = reader.look(node.args[0])
    if isinstance(found, Turned):
        return found.source
    source = reader.value(node, node.args[0])
    if reader.rank(source) not in (None, 3):
        return _permuted(reader, node, node.args[1:])
    belongs_to_a_layer = reader.origin(node) is not None
    return Turned(source, None if belongs_to_a_layer else lambda: _permuted(reader, node, (0, 2, 1)))


def _permuted(reader: Reader, node: fx.Node, dims: Any) -> str:
    source = reader.value(node, node.args[0] if node.args else node.kwargs.get("input"))
    rank = reader.rank(source)
    if rank is None or any(not isinstance(dim, int) for dim in dims) or len(dims) != rank or dims[0] % rank:
        raise UnsupportedError(reader.owner(node), "dims", dims, "0 first: the batch stays where it is")
    op = build(reader.owner(node), ops.Permute, dims=tuple(dim % rank for dim in dims[1:]))
    return reader.emit(node, op, [source])[0]
