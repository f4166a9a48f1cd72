"""`ops.LogicalAnd` <-> ``a & b``."""

from __future__ import annotations

import operator

import torch
from torch import fx

from biport import ops
from torch_side.chains import read_merge, write_chain
from torch_side.reader import Bound, Reader
from torch_side.registry import reads, writes
from torch_side.writer import Writer

TARGETS = (operator.and_, torch.logical_and, torch.bitwise_and, "logical_and", "bitwise_and")


@writes(ops.LogicalAnd)
def write_logical_and(
    op: ops.LogicalAnd, writer: Writer, inputs: list[fx.Node], masks: list[fx.Node | None]
) -> tuple[fx.Node, ...]:
    """``a & b & c``."""
    return (write_chain(writer, operator.and_, inputs),)


@reads(*TARGETS)
def read_logical_and(reader: Reader, node: fx.Node) -> Bound:
    """Masks joined; a chain that is used for nothing else is one op."""
    return read_merge(reader, node, ops.LogicalAnd(), TARGETS)
