"""The same numbers in another shape or order <-> `torch.flatten`, `torch.permute`, or modules.

Also read are ``x.transpose(1, 2)``, `torch.nn.Flatten`, and `torch.nn.Unflatten` of rows.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import fx, nn

from biport import ops
from biport.errors import UnsupportedError
from torch_side import layers
from torch_side.reading.fx_reader import Bound, FxReader, build
from torch_side.registry import Inputs, Masks, Outputs, reads, writes
from torch_side.shared.channels import PERMUTES, TRANSPOSES, ChannelsFirst, dims_of, swaps
from torch_side.shared.layer_ops import register_layer
from torch_side.writing.graph_writer import GraphWriter

register_layer(ops.Reshape, layers.Reshape, {"target_shape": "shape"})
register_layer(ops.RepeatVector, layers.RepeatVector, {"n": "n"})
register_layer(ops.UpSampling1D, layers.UpSampling1D, {"size": "size"})
register_layer(ops.Cropping1D, layers.Cropping1D, {"cropping": "cropping"}, unpack=True)
register_layer(ops.ZeroPadding1D, layers.ZeroPadding1D, {"padding": "padding"}, unpack=True)


@reads(nn.Unflatten)
def read_unflatten(reader: FxReader, node: fx.Node) -> Bound:
    """``nn.Unflatten(1, sizes)`` of ``(N, I)``."""
    module = reader.module(node)
    (x,) = reader.arguments(node, "input")
    source = reader.value(node, x)
    if reader.rank(source) != 2 or module.dim not in (1, -1):
        raise UnsupportedError(reader.owner(node), "dim", module.dim, "1 of (N, I)")
    op = build(reader.owner(node), ops.Reshape, target_shape=tuple(module.unflattened_size))
    return reader.emit(node, op, [source])[0]


@writes(ops.Flatten)
def write_flatten(op: ops.Flatten, writer: GraphWriter, inputs: Inputs, masks: Masks) -> Outputs:
    """``torch.flatten(x, 1)``."""
    return (writer.call(torch.flatten, inputs[0], 1),)


@reads(torch.flatten, "flatten")
def read_flatten(reader: FxReader, node: fx.Node) -> Bound:
    """``x.flatten(1)``."""
    x, start, end = reader.arguments(node, "input", start_dim=0, end_dim=-1)
    return _flatten(reader, node, reader.value(node, x), start, end)


@reads(nn.Flatten)
def read_flatten_layer(reader: FxReader, node: fx.Node) -> Bound:
    """The layer."""
    (x,) = reader.arguments(node, "input")
    module = reader.module(node)
    return _flatten(reader, node, reader.value(node, x), module.start_dim, module.end_dim)


def _flatten(reader: FxReader, node: fx.Node, source: str, start: int, end: int) -> str:
    rank = reader.rank(source)
    if start != 1 or end not in (-1, None if rank is None else rank - 1):
        raise UnsupportedError(reader.owner(node), "axes", f"{start} to {end}", "1 to -1: all but the batch")
    return reader.emit(node, build(reader.owner(node), ops.Flatten), [source])[0]


@writes(ops.Permute)
def write_permute(op: ops.Permute, writer: GraphWriter, inputs: Inputs, masks: Masks) -> Outputs:
    """``torch.permute(x, (0, 2, 1))``."""
    return (writer.call(torch.permute, inputs[0], (0, *op.dims)),)


@reads(*PERMUTES)
def read_permute(reader: FxReader, node: fx.Node) -> Bound:
    """``x.permute(0, 2, 1)``, with the axes one by one or as a tuple."""
    # What write_permute wrote is that op, whatever layer comes behind it.
    if swaps(node) and reader.origin(node) is None:
        return _swapped(reader, node)
    return _permuted(reader, node, dims_of(node))


@reads(*TRANSPOSES)
def read_transpose(reader: FxReader, node: fx.Node) -> Bound:
    """``x.transpose(1, 2)``."""
    if swaps(node):
        return _swapped(reader, node)
    source = reader.value(node, node.args[0])
    rank, axes = reader.rank(source), node.args[1:]
    if rank is None or node.kwargs or len(axes) != 2 or not all(isinstance(axis, int) for axis in axes):
        raise UnsupportedError(reader.owner(node), "axes", str(axes), "two numbers, as in x.transpose(1, 2)")
    one, two = (axis % rank for axis in axes if isinstance(axis, int))
    order = list(range(rank))
    order[one], order[two] = two, one
    return _permuted(reader, node, order)


def _swapped(reader: FxReader, node: fx.Node) -> Bound:
    """Time and features swapped, or swapped back."""
    bound = reader.look(node.args[0])
    if isinstance(bound, ChannelsFirst):
        return bound.source
    source = reader.value(node, node.args[0])
    if reader.rank(source) not in (None, 3):
        return _permuted(reader, node, node.args[1:])
    belongs_to_a_layer = reader.origin(node) is not None
    return ChannelsFirst(source, None if belongs_to_a_layer else lambda: _permuted(reader, node, (0, 2, 1)))


def _permuted(reader: FxReader, node: fx.Node, dims: Any) -> str:
    source = reader.value(node, node.args[0] if node.args else node.kwargs.get("input"))
    rank = reader.rank(source)
    if rank is None or any(not isinstance(dim, int) for dim in dims) or len(dims) != rank or dims[0] % rank:
        raise UnsupportedError(reader.owner(node), "dims", dims, "0 first: the batch stays where it is")
    op = build(reader.owner(node), ops.Permute, dims=tuple(dim % rank for dim in dims[1:]))
    return reader.emit(node, op, [source])[0]
