"""When an operation may write over its input."""

from __future__ import annotations

from torch import fx

from biport import ops
from biport.errors import UnsupportedError
from torch_side.reader import Reader

FRESH = (ops.Bidirectional, ops.Concatenate, ops.Dense, ops.Embedding, ops.LSTM)
"""Ops whose outputs share no memory with anything else."""


def check_inplace(reader: Reader, node: fx.Node, inplace: bool) -> None:
    """Refuse an operation in place that others would notice.

    Raises:
        UnsupportedError: its input, or what that may be a view of, is used by something else as well.
    """
    source = node
    while inplace:
        source = source.all_input_nodes[0]
        if len(source.users) > 1:
            raise UnsupportedError(reader.owner(node), "inplace", True, "False, for a tensor used twice")
        made = reader.bound.get(source)
        op = next((known.op for known in reader.nodes if made in known.outputs), None)
        if isinstance(op, FRESH) or not source.all_input_nodes:
            return
