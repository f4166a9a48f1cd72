"""``x[i]`` and ``x.values``: one of several outputs, or an idiom of the thing that is indexed."""

from __future__ import annotations

import operator

from torch import fx

from biport.errors import UnsupportedError
from torch_side.reading.fx_reader import Bound, FxReader, Lazy
from torch_side.registry import reads


@reads(operator.getitem)
def read_getitem(reader: FxReader, node: fx.Node) -> Bound:
    """One of several outputs; or what a lazy thing makes of the index."""
    source, index = node.args
    bound = reader.look(source)
    if isinstance(bound, Lazy):
        return bound.item(index, reader.owner(node))
    if isinstance(bound, tuple) and isinstance(index, int) and -len(bound) <= index < len(bound):
        return bound[index]
    raise UnsupportedError(reader.owner(node), "index", index, "one of several outputs of a layer")


@reads(getattr)
def read_getattr(reader: FxReader, node: fx.Node) -> Bound:
    """``x.max(dim=1).values``."""
    source, name = node.args
    bound = reader.look(source)
    if isinstance(bound, tuple) and name == "values":
        return bound[0]
    raise UnsupportedError(reader.owner(node), "attribute", name, ".max(dim=1).values")
