"""``x.transpose(1, 2)``: channels first, and back."""

from __future__ import annotations

from torch import fx

from biport.errors import UnsupportedError
from torch_side.channels import ADVICE, PERMUTES, TRANSPOSES, Turned, swaps
from torch_side.reader import Bound, Reader
from torch_side.registry import reads


@reads(*TRANSPOSES, *PERMUTES)
def read_transpose(reader: Reader, node: fx.Node) -> Bound:
    """The axes of time and of features, swapped."""
    found = reader.look(node.args[0])
    if not swaps(node):
        raise UnsupportedError(reader.owner(node), "axes", str(node.args[1:]), ADVICE)
    if isinstance(found, Turned):
        return found.source
    source = reader.value(node, node.args[0])
    if reader.rank(source) not in (None, 3):
        raise UnsupportedError(reader.owner(node), "dimensions", reader.rank(source), "3: (N, T, I)")
    return Turned(source)
