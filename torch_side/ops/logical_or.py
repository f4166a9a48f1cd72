"""`ops.LogicalOr` <-> ``a | b``."""

from __future__ import annotations

import operator
from functools import reduce

import torch
from torch import fx

from biport import ops
from torch_side.reader import Bound, Reader
from torch_side.registry import reads, writes
from torch_side.writer import Writer

TARGETS = (operator.or_, torch.logical_or, torch.bitwise_or, "logical_or", "bitwise_or")


@writes(ops.LogicalOr)
def write_logical_or(
    op: ops.LogicalOr, writer: Writer, inputs: list[fx.Node], masks: list[fx.Node | None]
) -> tuple[fx.Node, ...]:
    """``a | b | c``."""
    return (reduce(lambda a, b: writer.call(operator.or_, a, b), inputs),)


@reads(*TARGETS)
def read_logical_or(reader: Reader, node: fx.Node) -> Bound:
    """Masks joined; a chain that is used for nothing else is one op."""
    a, b = reader.arguments(node, "input", "other")
    found = reader.look(a)
    masks = (*(found if isinstance(found, tuple) else (reader.value(node, a),)), reader.value(node, b))
    then = reader.only_user(node)
    if then is not None and then.target in TARGETS and then.args[:1] == (node,):
        return masks
    return reader.emit(node, ops.LogicalOr(), masks)[0]
