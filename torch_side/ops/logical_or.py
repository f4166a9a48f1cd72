"""`ops.LogicalOr` <-> ``a | b``."""

from __future__ import annotations

import operator

import torch
from torch import fx

from biport import ops
from torch_side.chains import read_merge, write_chain
from torch_side.reader import Bound, Reader
from torch_side.registry import reads, writes
from torch_side.writer import Writer

TARGETS = (operator.or_, torch.logical_or, torch.bitwise_or, "logical_or", "bitwise_or")


@writes(ops.LogicalOr)
def write_logical_or(
    op: ops.LogicalOr, writer: Writer, inputs: list[fx.Node], masks: list[fx.Node | None]
) -> tuple[fx.Node, ...]:
    """``a | b | c``."""
    return (write_chain(writer, operator.or_, inputs),)


@reads(*TARGETS)
def read_logical_or(reader: Reader, node: fx.Node) -> Bound:
    """Masks joined; a chain that is used for nothing else is one op."""
    return read_merge(reader, node, ops.LogicalOr(), TARGETS)
