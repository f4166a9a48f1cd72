"""`ops.NotEqual` <-> ``ids != 0``."""

from __future__ import annotations

import operator

import torch
from torch import fx

from biport import ops
from biport.errors import UnsupportedError
from torch_side.reader import Bound, Reader
from torch_side.registry import reads, writes
from torch_side.writer import Writer


@writes(ops.NotEqual)
def write_not_equal(
    op: ops.NotEqual, writer: Writer, inputs: list[fx.Node], masks: list[fx.Node | None]
) -> tuple[fx.Node, ...]:
    """``ids != 0``."""
    return (writer.call(operator.ne, inputs[0], op.value),)


@reads(operator.ne, torch.ne, torch.not_equal, "ne", "not_equal")
def read_not_equal(reader: Reader, node: fx.Node) -> Bound:
    """A comparison with an integer."""
    ids, value = reader.arguments(node, "input", "other")
    if type(value) is not int:
        raise UnsupportedError(reader.owner(node), "compared with", str(value), "an integer, as in ids != 0")
    return reader.emit(node, ops.NotEqual(value=value), [reader.value(node, ids)])[0]
