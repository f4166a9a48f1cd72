"""Values with their channels first, ``(N, I, T)``, as torch's layers over time want them.

Layers over time have ``(N, T, I)`` in a graph: a value after ``x.transpose(1, 2)`` is read as the value
before it, until it is transposed back; only where it is used as it is does it become an `ops.Permute`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx

from biport.errors import UnsupportedError
from torch_side.reading.fx_reader import Bound, FxReader, Lazy
from torch_side.writing.graph_writer import GraphWriter

ADVICE = "x.transpose(1, 2) before and after layers that take channels first"


TRANSPOSES = (torch.transpose, "transpose", torch.swapaxes, "swapaxes")
PERMUTES = (torch.permute, "permute")


@dataclass
class ChannelsFirst(Lazy):
    """The value called ``source``, ``(N, T, I)``, as ``(N, I, T)``.

    Args:
        source: the value as it was.
        permute: adds the node that transposes it, and gives the name of its output.
    """

    source: str
    permute: Callable[[], str] | None = None
    permuted: str = ""

    def value(self, user: str) -> str:
        """The transposed value, computed by a node once it is asked for.

        Raises:
            UnsupportedError: it belongs to a layer that takes channels first, and to nothing else.
        """
        if self.permute is None:
            raise UnsupportedError(user, "argument", f"{self.source} with its channels first", ADVICE)
        self.permuted = self.permuted or self.permute()
        return self.permuted

    def item(self, index: Any, user: str) -> Bound:
        """Refused: no part of it has a name."""
        raise UnsupportedError(user, "index", index, ADVICE)


def write_transposed(writer: GraphWriter, x: fx.Node) -> fx.Node:
    """``x.transpose(1, 2)``."""
    return writer.method("transpose", x, 1, 2)


def swaps(node: fx.Node) -> bool:
    """Whether ``node`` swaps the last two of three axes, as `torch_side.ops.shape` reads it."""
    if node.kwargs or node.target not in (*TRANSPOSES, *PERMUTES):
        return False
    order = node.args[1:]
    if len(order) == 1 and isinstance(order[0], (tuple, list)):
        order = tuple(order[0])
    if not all(isinstance(axis, int) for axis in order):
        return False
    axes = [axis % 3 for axis in order if isinstance(axis, int)]
    return sorted(axes) == [1, 2] if node.target in TRANSPOSES else axes == [0, 2, 1]


def channels_first(reader: FxReader, node: fx.Node, argument: Any) -> str:
    """The value ``(N, T, I)`` behind an argument that is ``(N, I, T)``.

    Raises:
        UnsupportedError: the argument was not transposed.
    """
    bound = reader.look(argument)
    if not isinstance(bound, ChannelsFirst):
        raise UnsupportedError(reader.owner(node), "input", "not transposed", ADVICE)
    return bound.source


def dims_of(node: fx.Node) -> Any:
    """The axes of a call, given one by one or together."""
    dims: Any = node.kwargs.get("dims", node.args[1:])
    return dims[0] if len(dims) == 1 and isinstance(dims[0], tuple | list) else dims
