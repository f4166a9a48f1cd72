"""`ops.Average` <-> ``(a + b) / 2``."""

from __future__ import annotations

import operator

from torch import fx

from biport import ops
from biport.errors import UnsupportedError
from torch_side.chains import write_chain
from torch_side.ops.add import DIVISIONS
from torch_side.reader import Bound, Reader
from torch_side.registry import reads, writes
from torch_side.writer import Writer


@writes(ops.Average)
def write_average(
    op: ops.Average, writer: Writer, inputs: list[fx.Node], masks: list[fx.Node | None]
) -> tuple[fx.Node, ...]:
    """``(a + b + c) / 3``."""
    return (writer.call(operator.truediv, write_chain(writer, operator.add, inputs), len(inputs)),)


@reads(*DIVISIONS)
def read_average(reader: Reader, node: fx.Node) -> Bound:
    """A division that `torch_side.ops.add` did not take along: there is no op for it alone."""
    reader.look(node.all_input_nodes[0])
    raise UnsupportedError(reader.owner(node), supported="a sum of n terms, used for nothing else, over n")
