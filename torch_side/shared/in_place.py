"""When an operation may write over its input."""

from __future__ import annotations

import operator

from torch import fx

from biport import ops
from biport.errors import UnsupportedError
from torch_side.reading.fx_reader import FxReader


def check_inplace(reader: FxReader, node: fx.Node, inplace: bool) -> None:
    """Refuse an operation in place that others would notice.

    Raises:
        UnsupportedError: its input, or what that may be a view of, is used by something else as well.
    """
    source = node
    while inplace:
        source = source.all_input_nodes[0]
        # Unpacking names what nobody reads.
        users = [user for user in source.users if user.users or user.target is not operator.getitem]
        if len(users) > 1:
            raise UnsupportedError(reader.owner(node), "inplace", True, "False, for a tensor used twice")
        if not source.all_input_nodes or _has_memory_of_its_own(reader, source):
            return


def _has_memory_of_its_own(reader: FxReader, node: fx.Node) -> bool:
    """Whether nothing but ``node`` gives the tensor it gives, or a view of that."""
    if node in reader.emitted:
        return not shares_memory(reader.emitted[node])
    if node.target is not operator.getitem:
        return False
    layer = node.all_input_nodes[0]
    op, outputs = reader.emitted.get(layer), reader.bound.get(layer)
    if op is None or not isinstance(outputs, tuple) or shares_memory(op):
        return False
    # A layer of ours may give one tensor as its output and as its final state.
    ours = all(isinstance(output, str) for output in outputs)
    return not ours or not getattr(op, "return_state", False) or getattr(op, "return_sequences", False)


def shares_memory(op: ops.Op) -> bool:
    """Whether the output of an op may be its input, or a view of it: an identity, or an op of shapes.

    An activation in place is no such op: what it writes over belongs to nobody else, or it is refused itself.
    """
    views = type(op).__module__ == ops.Reshape.__module__
    return op.identity or views or any(shares_memory(part) for part in op.parts().values())
