"""`ops.Flatten` <-> `torch.flatten` from the second axis on; `torch.nn.Flatten` is read too."""

from __future__ import annotations

import torch
from torch import fx, nn

from biport import ops
from biport.errors import UnsupportedError
from torch_side.reader import Bound, Reader, build
from torch_side.registry import reads, writes
from torch_side.writer import Writer


@writes(ops.Flatten)
def write_flatten(
    op: ops.Flatten, writer: Writer, inputs: list[fx.Node], masks: list[fx.Node | None]
) -> tuple[fx.Node, ...]:
    """``torch.flatten(x, 1)``."""
    return (writer.call(torch.flatten, inputs[0], 1),)


@reads(torch.flatten, "flatten")
def read_flatten(reader: Reader, node: fx.Node) -> Bound:
    """``x.flatten(1)``."""
    x, start, end = reader.arguments(node, "input", start_dim=0, end_dim=-1)
    return _flatten(reader, node, reader.value(node, x), start, end)


@reads(nn.Flatten)
def read_flatten_layer(reader: Reader, node: fx.Node) -> Bound:
    """The layer."""
    (x,) = reader.arguments(node, "input")
    module = reader.module(node)
    return _flatten(reader, node, reader.value(node, x), module.start_dim, module.end_dim)


def _flatten(reader: Reader, node: fx.Node, source: str, start: int, end: int) -> str:
    rank = reader.rank(source)
    if start != 1 or end not in (-1, None if rank is None else rank - 1):
        raise UnsupportedError(reader.owner(node), "axes", f"{start} to {end}", "1 to -1: all but the batch")
    return reader.emit(node, build(reader.owner(node), ops.Flatten), [source])[0]
