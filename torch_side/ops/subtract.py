"""`ops.Subtract` <-> ``a - b``."""

from __future__ import annotations

import operator

import torch
from torch import fx

from biport import ops
from torch_side.reader import Bound, Reader
from torch_side.registry import reads, writes
from torch_side.writer import Writer


@writes(ops.Subtract)
def write_subtract(
    op: ops.Subtract, writer: Writer, inputs: list[fx.Node], masks: list[fx.Node | None]
) -> tuple[fx.Node, ...]:
    """``a - b``."""
    return (writer.call(operator.sub, *inputs),)


@reads(operator.sub, torch.sub, torch.subtract, "sub", "subtract")
def read_subtract(reader: Reader, node: fx.Node) -> Bound:
    """A difference of two values."""
    one, two = reader.arguments(node, "input", "other")
    return reader.emit(node, ops.Subtract(), [reader.value(node, one), reader.value(node, two)])[0]
