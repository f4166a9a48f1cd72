"""In which order, and how far taken together, a tensor in torch has the axes of a value of the graph.

A graph has its channels last; torch's layers have them first, and a layer over every step has the steps of
all rows one below the other. A written module leaves a tensor as the layer gave it until something needs it
otherwise.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from biport.dims import Dim, product
from biport.ops import Op, Permute, PermuteDims


@dataclass(frozen=True)
class Layout:
    """How a tensor has the axes of a value.

    Args:
        order: which axis of the value each axis is, of those taken together one by one.
        rows: how many of the first are taken together as one.

    Example:
        >>> images = Layout.channels_first(5, rows=2)
        >>> images, images.axis(-1), images.axis(3)
        (Layout(order=(0, 1, 4, 2, 3), rows=2), 1, 3)
    """

    order: tuple[int, ...]
    rows: int = 1

    @classmethod
    def graph(cls, rank: int, rows: int = 1) -> Layout:
        """As the graph has them."""
        return cls(tuple(range(rank)), rows)

    @classmethod
    def channels_first(cls, rank: int, rows: int = 1) -> Layout:
        """With the last one behind the rows."""
        if rank <= rows:
            return cls.graph(rank, rows)
        return cls((*range(rows), rank - 1, *range(rows, rank - 1)), rows)

    @property
    def is_graph(self) -> bool:
        """Whether all is as the graph has it."""
        return self == Layout.graph(len(self.order))

    @property
    def inverse(self) -> tuple[int, ...]:
        """The permutation by which the axes are as the graph has them, of what is not taken together."""
        return tuple(self.order.index(axis) for axis in range(len(self.order)))

    def axis(self, axis: int) -> int:
        """Where an axis of the value is in the tensor; counted from the end where that is the same."""
        rank = len(self.order)
        if axis < 0 and self.order[axis] == rank + axis:
            return axis
        return self.order.index(axis % rank) - (self.rows - 1)

    def without(self, axes: Collection[int]) -> Layout:
        """That of what is left where some axes, behind the rows, are gone."""
        left = [axis for axis in self.order if axis not in axes]
        return Layout(tuple(sorted(left).index(axis) for axis in left), self.rows)

    def turned(self, axes: Sequence[int]) -> Layout | None:
        """That of the same tensor as the value with its axes permuted; ``None`` where it has none."""
        order = tuple(axes.index(axis) for axis in self.order)
        return Layout(order, self.rows) if order[: self.rows] == tuple(range(self.rows)) else None

    def before(self, axes: Sequence[int]) -> Layout | None:
        """That of a value whose axes permuted so have this one; ``None`` where it has none."""
        order = tuple(axes[axis] for axis in self.order)
        return Layout(order, self.rows) if order[: self.rows] == tuple(range(self.rows)) else None

    def inner(self) -> Layout:
        """That of the rows, for what is done to every step."""
        return Layout((0, *(axis - 1 for axis in self.order[2:])), self.rows - 1)

    def outer(self) -> Layout:
        """That of a value whose every step has this one."""
        return Layout((0, *(axis + 1 for axis in self.order)), self.rows + 1)

    def shape(self, shape: Sequence[Dim]) -> tuple[Dim, ...]:
        """The sizes of the tensor."""
        sizes = [shape[axis] for axis in self.order]
        return (product(sizes[: self.rows]), *sizes[self.rows :]) if self.rows > 1 else tuple(sizes)


def permuted_axes(op: Op) -> tuple[int, ...] | None:
    """For each axis of the output the input's, of an op that permutes them; ``None`` for any other."""
    match op:
        case Permute():
            return (0, *op.dims)
        case PermuteDims():
            return tuple(op.axes)
    return None


def permutation(moved: Sequence[int], rows: int) -> tuple[Any, ...]:
    """The method that moves axes, the first ``rows`` of them taken together as one, and its arguments."""
    own = [0, *(axis - (rows - 1) for axis in moved[rows:])] if rows > 1 else list(moved)
    pair = [axis for axis, given in enumerate(own) if axis != given]
    return ("transpose", *pair) if len(pair) == 2 else ("permute", *own)
