"""`ops.Add` <-> ``a + b``; also the beginning of ``(a + b) / 2``, an `ops.Average`."""

from __future__ import annotations

import operator

import torch
from torch import fx

from biport import ops
from torch_side.chains import read_chain, write_chain
from torch_side.reader import Bound, Reader
from torch_side.registry import reads, writes
from torch_side.writer import Writer

TARGETS = (operator.add, torch.add, "add")
DIVISIONS = (operator.truediv, torch.div, torch.divide, torch.true_divide, "div", "divide", "true_divide")


@writes(ops.Add)
def write_add(
    op: ops.Add, writer: Writer, inputs: list[fx.Node], masks: list[fx.Node | None]
) -> tuple[fx.Node, ...]:
    """``a + b + c``."""
    return (write_chain(writer, operator.add, inputs),)


@reads(*TARGETS)
def read_add(reader: Reader, node: fx.Node) -> Bound:
    """A sum; one that is used for nothing but its division by the number of its terms is a mean."""
    values = read_chain(reader, node, TARGETS)
    if values is None:
        return reader.bound[node]
    then = reader.only_user(node)
    if then is not None and then.target in DIVISIONS and then.args == (node, len(values)) and not then.kwargs:
        reader.bound[then] = reader.emit(then, ops.Average(), values)[0]
        return reader.bound[then]
    return reader.emit(node, ops.Add(), values)[0]
