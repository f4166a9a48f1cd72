"""`ops.Permute` <-> `torch.permute` that leaves the batch first."""

from __future__ import annotations

from typing import Any

import torch
from torch import fx

from biport import ops
from biport.errors import UnsupportedError
from torch_side.reader import Bound, Reader, build
from torch_side.registry import reads, writes
from torch_side.writer import Writer


@writes(ops.Permute)
def write_permute(
    op: ops.Permute, writer: Writer, inputs: list[fx.Node], masks: list[fx.Node | None]
) -> tuple[fx.Node, ...]:
    """``torch.permute(x, (0, 2, 1))``."""
    return (writer.call(torch.permute, inputs[0], (0, *op.dims)),)


@reads(torch.permute, "permute")
def read_permute(reader: Reader, node: fx.Node) -> Bound:
    """``x.permute(0, 2, 1)``, with the axes one by one or as a tuple."""
    found: Any = node.kwargs.get("dims", node.args[1:])
    dims = found[0] if len(found) == 1 and isinstance(found[0], tuple | list) else found
    source = reader.value(node, node.args[0] if node.args else node.kwargs.get("input"))
    rank = reader.rank(source)
    if rank is None or any(not isinstance(dim, int) for dim in dims) or len(dims) != rank or dims[0] % rank:
        raise UnsupportedError(reader.owner(node), "dims", dims, "0 first: the batch stays where it is")
    op = build(reader.owner(node), ops.Permute, dims=tuple(dim % rank for dim in dims[1:]))
    return reader.emit(node, op, [source])[0]
