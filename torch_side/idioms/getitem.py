"""``x[i]`` and ``x.values``: one of several outputs, or an idiom of the thing that is indexed."""

from __future__ import annotations

import operator

from torch import fx

from biport.errors import UnsupportedError
from torch_side.reader import Bound, Lazy, Reader
from torch_side.registry import reads


@reads(operator.getitem)
def read_getitem(reader: Reader, node: fx.Node) -> Bound:
    """One of several outputs; or what a lazy thing makes of the index."""
    source, index = node.args
    found = reader.look(source)
    if isinstance(found, Lazy):
        return found.item(index, reader.owner(node))
    if isinstance(found, tuple) and isinstance(index, int) and -len(found) <= index < len(found):
        return found[index]
    raise UnsupportedError(reader.owner(node), "index", index, "one of several outputs of a layer")


@reads(getattr)
def read_getattr(reader: Reader, node: fx.Node) -> Bound:
    """``x.max(dim=1).values``."""
    source, name = node.args
    found = reader.look(source)
    if isinstance(found, tuple) and name == "values":
        return found[0]
    raise UnsupportedError(reader.owner(node), "attribute", name, ".max(dim=1).values")
