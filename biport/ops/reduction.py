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
from biport.ops.checks import (
    TooShortError,
    check_axes,
    check_choice,
    check_number,
    need,
    on_axes,
    on_axis,
    take,
)
from biport.ops.tensor import BOOLEANS, FLOATS, NUMBERS, Dim, Tensor, fixed_size

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

ORDERS = (1, 2, float("inf"))
OF_SOME_AXIS = ("norm", "var", "std")


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Reduction(TensorOperation):
    """One of `REDUCTIONS` over some axes.

    Of nothing a sum is 0, a product 1, ``any`` false, ``all`` true, ``logsumexp`` minus infinity, a norm of
    order 1 or 2 is 0, and a mean, variance or deviation NaN; a maximum or minimum is not defined, nor is a
    norm of order infinity, which is one. Sums and products of integers are defined below 2^53, up to which
    onnxruntime is exact, and in the range of their dtype.

    Args:
        function: its array API name; ``norm`` is ``linalg.vector_norm``.
        axes: none of them twice; with none the input is given back. ``norm``, ``var`` and ``std`` take one
            or more.
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
        if not self.axes and self.function in OF_SOME_AXIS:
            raise GraphError(f"{self.kind}: {self.function} takes one axis or more, found none")
        check_number(self.kind, "correction", self.correction, least=0)
        if self.correction and self.function not in ("var", "std"):
            raise GraphError(f"{self.kind}: {self.function} takes no correction, found {self.correction}")
        check_choice(self.kind, "order", self.order, ORDERS if self.function == "norm" else (2,))

    @property
    def extreme(self) -> bool:
        """Whether it is one of the elements, and so needs some."""
        return self.function in ("max", "min") or self.order == float("inf")

    def infer(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        (x,) = take(self, inputs, 1)
        need(self, x, None, REDUCTIONS[self.function])
        axes = on_axes(self, self.axes, x)
        if self.extreme and any(x.shape[axis] == 0 for axis in axes):
            raise TooShortError(f"{self.kind}: there is no {self.function} of nothing, found {x}")
        return (Tensor(without(x.shape, axes, self.keepdims), x.dtype),)

    def locality(self, inputs: Sequence[Tensor]) -> Locality:
        return Locality.along(len(inputs[0].shape), mixed=self.axes)

    def may_be_nan(self, inputs: Sequence[Tensor], masked: bool) -> bool:
        count = product([inputs[0].shape[axis] for axis in self.axes])
        enough = isinstance(count, int) and count > self.correction
        return self.function in ("mean", "var", "std") and not enough

    def mixes_rows(self, inputs: Sequence[Tensor]) -> bool:
        return 0 in on_axes(self, self.axes, inputs[0])

    def sum_length(self, inputs: Sequence[Tensor]) -> int:
        (x,) = inputs
        added = product([x.shape[axis] for axis in self.axes])
        wide = self.function in ("sum", "norm", "logsumexp") and not self.extreme
        return max(added, 1) if wide and isinstance(added, int) else 1


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class ArgReduction(TensorOperation):
    """The position of the largest or smallest number along an axis, the first of several; int64.

    Zero has no sign here. Keras' own takes -0.0 for less than 0.0.

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
        return Locality.along(len(inputs[0].shape), mixed=[self.axis])

    def mixes_rows(self, inputs: Sequence[Tensor]) -> bool:
        return on_axis(self, self.axis, inputs[0]) == 0


class AlongAxis(TensorOperation):
    """Of all elements along one axis together, of any shape; not an op by itself."""

    axis: int

    def __post_init__(self) -> None:
        check_axes(self, self.axis)

    def locality(self, inputs: Sequence[Tensor]) -> Locality:
        return Locality.along(len(inputs[0].shape), mixed=[self.axis])

    def mixes_rows(self, inputs: Sequence[Tensor]) -> bool:
        return on_axis(self, self.axis, inputs[0]) == 0


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class CumulativeSum(AlongAxis):
    """Each element the sum of those up to it along ``axis``, itself included (``cumulative_sum``)."""

    axis: int

    def infer(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        (x,) = take(self, inputs, 1)
        need(self, x, None, NUMBERS)
        on_axis(self, self.axis, x)
        return (x,)

    def sum_length(self, inputs: Sequence[Tensor]) -> int:
        return max(fixed_size(inputs[0].shape[self.axis]), 1)


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class LogSoftmax(AlongAxis):
    """The logarithm of the softmax along ``axis``, shifted so that it cannot overflow."""

    axis: int

    def infer(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        (x,) = take(self, inputs, 1)
        need(self, x, None, FLOATS)
        on_axis(self, self.axis, x)
        return (x,)


def without(shape: Sequence[Dim], axes: Sequence[int], keepdims: bool) -> tuple[Dim, ...]:
    """A shape whose axes were reduced.

    Example:
        >>> without((2, 3, 4), [1], True), without((2, 3, 4), [0, 2], False)
        ((2, 1, 4), (3,))
    """
    if keepdims:
        return tuple(1 if axis in axes else dim for axis, dim in enumerate(shape))
    return tuple(dim for axis, dim in enumerate(shape) if axis not in axes)
