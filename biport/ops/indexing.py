"""Tensor operations that look elements up by integers, or by their order.

Names and meaning are those of the Python array API standard 2024.12, where it has them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from biport.errors import GraphError
from biport.ops.base import Locality, TensorOperation
from biport.ops.checks import TooShortError, check_axes, check_sizes, need, on_axis, take
from biport.ops.reduction import AlongAxis
from biport.ops.tensor import EVERY_DTYPE, INTEGERS, NUMBERS, Tensor, same_dim


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Take(TensorOperation):
    """The elements of ``x`` at ``indices`` along an axis: ``(..., *indices.shape, ...)``.

    The second input is the indices, integers of any shape; negative ones count from the end. One outside of
    the axis is an error wherever the form that runs it can tell: numpy, torch and onnxruntime on the CPU.

    Args:
        axis: of ``x``, which the axes of the indices take the place of.
    """

    axis: int

    def __post_init__(self) -> None:
        check_axes(self, self.axis)

    def infer(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        x, indices = take(self, inputs, 2)
        need(self, x, None, EVERY_DTYPE)
        need(self, indices, None, INTEGERS)
        axis = on_axis(self, self.axis, x)
        return (Tensor((*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :]), x.dtype),)

    def mixes_rows(self, inputs: Sequence[Tensor]) -> bool:
        # A table of fixed size has no rows, and along another axis than 0 those of the indices move.
        of_rows = inputs[on_axis(self, self.axis, inputs[0]) > 0].shape
        return bool(of_rows) and not isinstance(of_rows[0], int)


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class TakeAlongAxis(TensorOperation):
    """Of each line of ``x`` along an axis the elements at the same line's ``indices`` (``take_along_axis``).

    The second input is the indices, integers of the rank of ``x``; negative ones count from the end. The
    other axes broadcast.

    Args:
        axis: along which.
    """

    axis: int

    def __post_init__(self) -> None:
        check_axes(self, self.axis)

    def infer(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        x, indices = take(self, inputs, 2)
        need(self, x, None, EVERY_DTYPE)
        need(self, indices, len(x.shape), INTEGERS)
        axis = on_axis(self, self.axis, x)
        shape = []
        for position, (own, other) in enumerate(zip(x.shape, indices.shape, strict=True)):
            if position != axis and 1 not in (own, other) and not same_dim(own, other):
                raise GraphError(f"{self.kind}: {x} and {indices} do not go together")
            shape.append(own if position != axis and other == 1 else other)
        return (Tensor(shape, x.dtype),)

    def locality(self, inputs: Sequence[Tensor]) -> Locality:
        return Locality.along(len(inputs[0].shape), mixed=[self.axis])

    def mixes_rows(self, inputs: Sequence[Tensor]) -> bool:
        return on_axis(self, self.axis, inputs[0]) == 0


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class StepAt(TensorOperation):
    """One step of each row, such as its last valid one: ``x[n, steps[n]]``, ``(N, T, ...)`` to ``(N, ...)``.

    The second input is the steps, integers ``(N,)``; negative ones count from the end.
    """

    def infer(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        x, steps = take(self, inputs, 2)
        need(self, x, None, EVERY_DTYPE)
        need(self, steps, 1, INTEGERS)
        if len(x.shape) < 2 or not same_dim(x.shape[0], steps.shape[0]):
            raise GraphError(f"{self.kind} takes (N, T, ...) and (N,), found {x} and {steps}")
        if x.shape[1] == 0:
            raise TooShortError(f"{self.kind}: there is no step in {x}")
        return (Tensor((x.shape[0], *x.shape[2:]), x.dtype),)


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class OneHot(TensorOperation):
    """A vector for each integer, 1 at its index and 0 elsewhere; zeros alone for one outside of it.

    Keras and TensorFlow give zeros there too, torch an error, and ONNX's operator counts from the end.

    Args:
        num_classes: its size, of the last axis of the output.
        output_dtype: of the output.
    """

    num_classes: int
    output_dtype: str = "float32"

    def __post_init__(self) -> None:
        check_sizes(self.kind, num_classes=self.num_classes)
        if self.output_dtype not in EVERY_DTYPE:
            raise GraphError(f"{self.kind}: output_dtype {self.output_dtype!r} is none of {EVERY_DTYPE}")

    def infer(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        (x,) = take(self, inputs, 1)
        need(self, x, None, INTEGERS)
        return (Tensor((*x.shape, self.num_classes), self.output_dtype),)

    def locality(self, inputs: Sequence[Tensor]) -> Locality:
        return Locality.EVERY_STEP if len(inputs[0].shape) > 1 else Locality.NONE


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class TopK(TensorOperation):
    """The ``k`` largest along an axis, the largest first, and their positions (int64).

    Of equal numbers Keras and onnxruntime give the first positions; torch does not say which.

    Args:
        k: how many.
        axis: along which.
        largest: or else the smallest, the smallest first.
    """

    k: int
    axis: int = -1
    largest: bool = True

    def __post_init__(self) -> None:
        check_sizes(self.kind, k=self.k)
        check_axes(self, self.axis)

    def infer(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        (x,) = take(self, inputs, 1)
        need(self, x, None, NUMBERS)
        axis = on_axis(self, self.axis, x)
        size = x.shape[axis]
        if isinstance(size, int) and size < self.k:
            raise TooShortError(f"{self.kind}: there are no {self.k} elements along {self.axis} of {x}")
        shape = (*x.shape[:axis], self.k, *x.shape[axis + 1 :])
        return Tensor(shape, x.dtype), Tensor(shape, "int64")

    def locality(self, inputs: Sequence[Tensor]) -> Locality:
        return Locality.along(len(inputs[0].shape), mixed=[self.axis])

    def mixes_rows(self, inputs: Sequence[Tensor]) -> bool:
        return on_axis(self, self.axis, inputs[0]) == 0

    @property
    def output_count(self) -> int:
        return 2


class Ordering(AlongAxis):
    """By size along an axis; not an op by itself."""

    descending: bool


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Sort(Ordering):
    """The numbers along an axis in ascending order.

    Args:
        axis: along which.
        descending: the largest first.
    """

    axis: int = -1
    descending: bool = False

    def infer(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        (x,) = take(self, inputs, 1)
        need(self, x, None, NUMBERS)
        on_axis(self, self.axis, x)
        return (x,)


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class ArgSort(Ordering):
    """The positions of the numbers along an axis in ascending order, equal ones in theirs; int64.

    Args:
        axis: along which.
        descending: the largest first, equal ones still in the order of their positions.
    """

    axis: int = -1
    descending: bool = False

    def infer(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        (x,) = take(self, inputs, 1)
        need(self, x, None, NUMBERS)
        on_axis(self, self.axis, x)
        return (Tensor(x.shape, "int64"),)
