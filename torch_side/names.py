"""Names: from a graph's, which are free, to Python's and torch's, which are not."""

from __future__ import annotations

import builtins
import functools
import keyword
import re
import unicodedata
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from torch import fx, nn

from biport.graph import Node
from torch_side.spelling import Spelling

ORIGIN = "biport"
"""The key in an fx node's ``meta`` under which its `Origin` is kept."""


ITEM = "biport item"
"""The key in an fx node's ``meta`` by which an argument of a cell is known, taken out of a list of them."""


SILENT = "biport silent"
"""The key in the output's ``meta`` under which the last nodes are that have no statement."""


@dataclass(frozen=True)
class Origin:
    """Which graph node an fx node was written for.

    Args:
        node: the graph node's name.
        outputs: the names of its values.
        op: a number that is the same for nodes that share one op object.
        spelling: how it was written.
        silent: the nodes before this one that have no statement: constants that stand as numbers in others,
            and permutations of axes of tensors that are left as they are.
    """

    node: str
    outputs: tuple[str, ...]
    op: int
    spelling: Spelling = field(compare=False)
    silent: tuple[Node, ...] = field(default=(), compare=False)


def inputs_of(graph: fx.Graph) -> list[fx.Node]:
    """The fx nodes of what a written module takes; of a cell x, then its states and constants one by one."""
    items = [node for node in graph.nodes if ITEM in node.meta]
    given = [node for node in graph.nodes if node.op == "placeholder"]
    return [given[0], *items] if items else given


def outputs_of(graph: fx.Graph) -> list[Any]:
    """What a written module returns; of a cell the output, then its new states one by one."""
    (output,) = [node for node in graph.nodes if node.op == "output"]
    returned = output.args[0] if isinstance(output.args[0], tuple | list) else (output.args[0],)
    return [part for item in returned for part in (item if isinstance(item, list) else [item])]


def statements_of(graph: fx.Graph) -> list[fx.Node]:
    """Those between what a written module takes and what it returns."""
    return [
        node for node in graph.nodes if node.op not in ("placeholder", "output") and ITEM not in node.meta
    ]


OWN = frozenset({"id_bounds", "input_values", "needs_steps", "output_names", "paths", "penalty"})
"""What a written module has beside what every `fx.GraphModule` has."""


@functools.cache
def _reserved() -> frozenset[str]:
    return frozenset(dir(fx.GraphModule(nn.Module(), fx.Graph()))) | OWN


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
    """An identifier that Python reads as it stands; or the digits of a list's element."""
    if part.isascii() and part.isdecimal():
        return part
    clean = _identifier(unicodedata.normalize("NFKC", part))
    return clean + "_" if clean in _reserved() or keyword.iskeyword(clean) else clean


def _identifier(name: str) -> str:
    # Two underscores in front would be taken for a private name, which Python changes in classes.
    clean = re.sub("^__+", "_", "".join(sign if f"a{sign}".isidentifier() else "_" for sign in name))
    return clean if clean.isidentifier() else f"_{clean}"


def variable(name: str, taken: Collection[str]) -> str:
    """The name in generated source of the value called ``name``."""
    clean = _identifier(re.sub(r"\W", "_", name, flags=re.ASCII))
    while keyword.iskeyword(clean) or hasattr(builtins, clean) or clean in {"self", "torch", *taken}:
        clean += "_"
    return clean


class Names:
    """Names of one scope in generated source, each once.

    Args:
        taken: those that mean something else there.

    Example:
        >>> names = Names({"torch"})
        >>> [names.new(wanted) for wanted in ("lstm", "lstm", "torch", "lambda", "1st layer")]
        ['lstm', 'lstm_2', 'torch_', 'lambda_', '_1st_layer']
    """

    LONGEST = 32

    def __init__(self, taken: Collection[str] = ()) -> None:
        self._reserved = frozenset(taken)
        self._taken: set[str] = set()

    def is_free(self, name: str) -> bool:
        """Whether nothing is called so."""
        return variable(name, self._reserved) == name and name not in self._taken

    def new(self, wanted: str) -> str:
        """``wanted`` where it is free, else a name like it."""
        own = variable(wanted[: self.LONGEST], self._reserved)
        # A name of underscores alone is that of what is not wanted.
        name = own = own if own.strip("_") else "value"
        number = 2
        while name in self._taken:
            name, number = f"{own}_{number}", number + 1
        self._taken.add(name)
        return name

    def new_class(self, wanted: str) -> str:
        """The same in the spelling of classes: ``TokenEncoder``."""
        words = re.findall(r"[^\W_]+", wanted[: self.LONGEST], flags=re.ASCII)
        return self.new("".join(word[0].upper() + word[1:] for word in words) or "Part")
