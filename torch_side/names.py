"""Names: from a graph's, which are free, to Python's and torch's, which are not."""

from __future__ import annotations

import builtins
import functools
import keyword
import re
from collections.abc import Collection
from dataclasses import dataclass, field

from torch import fx, nn

from biport.graph import Node
from torch_side.spelling import Spelling

ORIGIN = "biport"
"""The key in an fx node's ``meta`` under which its `Origin` is kept."""


@dataclass(frozen=True)
class Origin:
    """Which graph node an fx node was written for.

    Args:
        node: the graph node's name.
        outputs: the names of its values.
        op: a number that is the same for nodes that share one op object.
        spelling: how it was written.
        numbers: the nodes of constants before this one that stand as numbers in other statements.
    """

    node: str
    outputs: tuple[str, ...]
    op: int
    spelling: Spelling = field(compare=False)
    numbers: tuple[Node, ...] = field(default=(), compare=False)


@functools.cache
def _reserved() -> frozenset[str]:
    return frozenset(dir(fx.GraphModule(nn.Module(), fx.Graph()))) | {"input_values", "output_names"}


def attribute_path(name: str, taken: Collection[str]) -> str:
    """Where the module of the node called ``name`` lives: dots are submodules.

    A part that is an attribute of every module, such as ``"train"``, gets a trailing underscore, and so
    does a path that is one of ``taken`` or lies inside one. What could not be part of an attribute's name
    becomes an underscore: the path ends up in generated source.
    """
    path = ".".join(_attribute(part) for part in name.split("."))
    if any(_inside(path, other) or _inside(other, path) for other in taken):
        path = path.replace(".", "_")
    while any(_inside(path, other) or _inside(other, path) for other in taken):
        path += "_"
    return path


def _inside(path: str, other: str) -> bool:
    return path == other or path.startswith(other + ".")


def _attribute(part: str) -> str:
    clean = re.sub(r"\W", "_", part) or "_"
    return clean + "_" if clean in _reserved() or keyword.iskeyword(clean) else clean


def variable(name: str, taken: Collection[str]) -> str:
    """The name in generated source of the value called ``name``."""
    clean = re.sub(r"\W", "_", name, flags=re.ASCII) or "_"
    if clean[0].isdigit():
        clean = "_" + clean
    while keyword.iskeyword(clean) or hasattr(builtins, clean) or clean in {"self", "torch", *taken}:
        clean += "_"
    return clean
