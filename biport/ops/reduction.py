"""Tensor operations that take axes together: sums and their like, places of extremes, running sums.

Names and meaning are those of the Python array API standard 2024.12, where it has them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

from biport.dims import product
from biport.errors import GraphError
from biport.ops.base import Locality, TensorOperation
from biport.ops.checks import TooShortError, check_axes, check_choice, need, on_axes, on_axis, take
from biport.ops.tensor import BOOLEANS, FLOATS, NUMBERS, Dim, Tensor

REDUCTIONS: Mapping[str, Sequence[str]] = {
    "sum": NUMBERS,
    "prod": NUMBERS,
    "max": NUMBERS,
    "min": NUMBERS,
    "mean": FLOATS,
    "var": FLOATS,
    "std": FLOATS,
    "norm": FLOATS,
    "logsumexp": FLOATS,
    "any": BOOLEANS,
    "all": BOOLEANS,
}
"""What each takes, and gives."""

OF_SOMETHING = ("max", "min")
"""Reductions of nothing that are no number: they need an element. A mean of nothing is NaN."""

ORDERS = (1, 2, float("inf"))


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Reduction(TensorOperation):
    """One of `REDUCTIONS` over some axes.

    Of nothing a sum is 0, a product 1, ``any`` false, ``all`` true, a norm 0, ``logsumexp`` minus infinity,
    and a mean NaN; a maximum or minimum is not defined.

    Args:
        function: its array API name; ``norm`` is ``linalg.vector_norm``.
        axes: none of them twice; with none the input is given back but for ``keepdims``.
        keepdims: whether the axes stay, of size 1.
        correction: of ``var`` and ``std``: they divide by the number of elements less this.
        order: of ``norm``: 1, 2 or infinity.

    Example:
        >>> mean = Reduction(function="mean", axes=(1,))
        >>> mean.infer([Tensor(("N", "T", 4), "float32")])[0]
        Tensor(shape=(N, 4), dtype='float32')
    """

    function: str
    axes: tuple[int, ...]
    keepdims: bool = False
    correction: float = 0
    order: float = 2

    def __post_init__(self) -> None:
        check_choice(self.kind, "function", self.function, list(REDUCTIONS))
        object.__setattr__(self, "axes", check_axes(self, self.axes))
        if self.correction and self.function not in ("var", "std"):
            raise GraphError(f"{self.kind}: {self.function} takes no correction, found {self.correction}")
        check_choice(self.kind, "order", self.order, ORDERS if self.function == "norm" else (2,))

    def infer(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        (x,) = take(self, inputs, 1)
        need(self, x, None, REDUCTIONS[self.function])
        axes = on_axes(self, self.axes, x)
        if self.function in OF_SOMETHING and any(x.shape[axis] == 0 for axis in axes):
            raise TooShortError(f"{self.kind}: there is no {self.function} of nothing, found {x}")
        return (Tensor(without(x.shape, axes, self.keepdims), x.dtype),)

    def locality(self, inputs: Sequence[Tensor]) -> Locality:
        return kept_locality(inputs[0], self.axes, self.keepdims)

    def sum_length(self, inputs: Sequence[Tensor]) -> int:
        (x,) = inputs
        added = product([x.shape[axis] for axis in self.axes])
        wide = self.function in ("sum", "norm", "logsumexp") and isinstance(added, int)
        return max(added, 1) if wide and isinstance(added, int) else 1


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class ArgReduction(TensorOperation):
    """The position of the largest or smallest number along an axis, the first of several; int64.

    Args:
        function: ``argmax`` or ``argmin``.
        axis: one that has elements.
        keepdims: whether the axis stays, of size 1.
    """

    function: str
    axis: int
    keepdims: bool = False

    def __post_init__(self) -> None:
        check_choice(self.kind, "function", self.function, ("argmax", "argmin"))
        check_axes(self, self.axis)

    def infer(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        (x,) = take(self, inputs, 1)
        need(self, x, None, NUMBERS)
        axis = on_axis(self, self.axis, x)
        if x.shape[axis] == 0:
            raise TooShortError(f"{self.kind}: there is no {self.function} of nothing, found {x}")
        return (Tensor(without(x.shape, [axis], self.keepdims), "int64"),)

    def locality(self, inputs: Sequence[Tensor]) -> Locality:
        return kept_locality(inputs[0], [self.axis], self.keepdims)


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class CumulativeSum(TensorOperation):
    """Each element the sum of those up to it along ``axis``, itself included (``cumulative_sum``)."""

    axis: int

    def __post_init__(self) -> None:
        check_axes(self, self.axis)

    def infer(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        (x,) = take(self, inputs, 1)
        need(self, x, None, NUMBERS)
        on_axis(self, self.axis, x)
        return (x,)

    def locality(self, inputs: Sequence[Tensor]) -> Locality:
        return Locality.along(max(len(inputs[0].shape), 1), mixed=[self.axis])

    def sum_length(self, inputs: Sequence[Tensor]) -> int:
        size = inputs[0].shape[self.axis]
        return max(size, 1) if isinstance(size, int) else 1


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class LogSoftmax(TensorOperation):
    """The logarithm of the softmax along ``axis``, shifted so that it cannot overflow."""

    axis: int

    def __post_init__(self) -> None:
        check_axes(self, self.axis)

    def infer(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        (x,) = take(self, inputs, 1)
        need(self, x, None, FLOATS)
        on_axis(self, self.axis, x)
        return (x,)

    def locality(self, inputs: Sequence[Tensor]) -> Locality:
        return Locality.along(max(len(inputs[0].shape), 1), mixed=[self.axis])


def without(shape: Sequence[Dim], axes: Sequence[int], keepdims: bool) -> tuple[Dim, ...]:
    """A shape whose axes were reduced.

    Example:
        >>> without((2, 3, 4), [1], True), without((2, 3, 4), [0, 2], False)
        ((2, 1, 4), (3,))
    """
    if keepdims:
        return tuple(1 if axis in axes else dim for axis, dim in enumerate(shape))
    return tuple(dim for axis, dim in enumerate(shape) if axis not in axes)


def kept_locality(x: Tensor, axes: Sequence[int], keepdims: bool) -> Locality:
    """Of a reduction: nothing is said once an axis in front of the features is gone."""
    rank = len(x.shape)
    front = sorted(axis % rank for axis in axes)
    if rank < 2:
        return Locality.NONE
    if keepdims or not front or front[0] > 1:
        # With its last axis gone, the output's features are another axis.
        mixed = [*front, *([] if keepdims or not front else [rank - 1])]
        return Locality.along(rank, mixed=mixed)
    return Locality.NONE
