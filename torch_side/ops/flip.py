"""`ops.Flip` <-> `torch.flip` along time."""

from __future__ import annotations

from typing import Any

import torch
from torch import fx

from biport import ops
from biport.errors import UnsupportedError
from torch_side.reader import Bound, Reader
from torch_side.registry import reads, writes
from torch_side.writer import Writer


@writes(ops.Flip)
def write_flip(
    op: ops.Flip, writer: Writer, inputs: list[fx.Node], masks: list[fx.Node | None]
) -> tuple[fx.Node, ...]:
    """``torch.flip(x, (1,))``."""
    return (writer.call(torch.flip, inputs[0], (1,)),)


@reads(torch.flip, "flip")
def read_flip(reader: Reader, node: fx.Node) -> Bound:
    """``x.flip(1)``, of three dimensions."""
    found: Any = node.kwargs.get("dims", node.args[1:])
    dims = found[0] if len(found) == 1 and isinstance(found[0], tuple | list) else found
    source = reader.value(node, node.args[0] if node.args else node.kwargs.get("input"))
    if reader.rank(source) != 3 or [dim % 3 for dim in dims if isinstance(dim, int)] != [1]:
        raise UnsupportedError(reader.owner(node), "dims", dims, "1, the steps of (N, T, I)")
    return reader.emit(node, ops.Flip(), [source])[0]
