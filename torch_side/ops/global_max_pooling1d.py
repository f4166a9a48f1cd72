"""`ops.GlobalMaxPooling1D` <-> `torch_side.layers.GlobalMaxPooling1D`; ``x.max(dim=1)`` is read too."""

from __future__ import annotations

import torch
from torch import fx

from biport import ops
from biport.errors import UnsupportedError
from torch_side import layers
from torch_side.reader import Bound, Lazy, Reader
from torch_side.registry import reads, writes
from torch_side.writer import Writer


class _Indices(Lazy):
    """Where the largest values are: what ``x.max(dim=1)`` gives beside them."""

    def value(self, user: str) -> str:
        raise UnsupportedError(user, "argument", "the indices of max", "its values")

    def item(self, index: object, user: str) -> Bound:
        raise UnsupportedError(user, "argument", "the indices of max", "its values")


def over_time(reader: Reader, node: fx.Node) -> tuple[str, bool]:
    """The value that is reduced over the time of ``(N, T, I)``, and whether the dimension is kept.

    Raises:
        UnsupportedError: it is over something else.
    """
    x, dim, keepdim = reader.arguments(node, "x", dim=None, keepdim=False)
    source = reader.value(node, x)
    if reader.rank(source) != 3 or dim not in (1, -2):
        found = f"dim={dim} of {reader.rank(source)} dimensions"
        raise UnsupportedError(reader.owner(node), "reduced over", found, "dim=1 of (N, T, I)")
    return source, bool(keepdim)


@writes(ops.GlobalMaxPooling1D)
def write_global_max_pooling1d(
    op: ops.GlobalMaxPooling1D, writer: Writer, inputs: list[fx.Node], masks: list[fx.Node | None]
) -> tuple[fx.Node, ...]:
    """``self.global_max_pooling1d(x)``."""
    return (writer.module(lambda op: layers.GlobalMaxPooling1D(op.keepdims), inputs[0]),)


@reads(layers.GlobalMaxPooling1D)
def read_global_max_pooling1d(reader: Reader, node: fx.Node) -> Bound:
    """The layer."""
    (x,) = reader.arguments(node, "x")
    op = ops.GlobalMaxPooling1D(keepdims=reader.module(node).keepdims)
    return reader.emit(node, op, [reader.value(node, x)])[0]


@reads(torch.amax, "amax")
def read_amax(reader: Reader, node: fx.Node) -> Bound:
    """``x.amax(dim=1)``."""
    source, keepdims = over_time(reader, node)
    return reader.emit(node, ops.GlobalMaxPooling1D(keepdims=keepdims), [source])[0]


@reads(torch.max, "max")
def read_max(reader: Reader, node: fx.Node) -> Bound:
    """``x.max(dim=1)``, of which only the values are used."""
    return read_amax(reader, node), _Indices()
