"""Several values into one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from biport.errors import GraphError
from biport.ops.base import EVERY_INPUT, Locality, Op, parameter
from biport.ops.checks import broadcast, check_array, floats, match_shapes, need, on_axis, take
from biport.ops.tensor import FLOATS, Tensor, fixed_size, same_dim


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Concatenate(Op):
    """Inputs of one dtype, any, side by side along ``axis``; all other sizes are equal.

    Also joins masks along time (``axis=1``).
    """

    axis: int = -1

    def infer(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        if not inputs:
            raise GraphError(f"{self.kind} takes one or more inputs, found none")
        axis = on_axis(self, self.axis, inputs[0])
        match_shapes(self, inputs, axis)
        total = sum(tensor.shape[axis] for tensor in inputs)
        shape = inputs[0].shape
        return (Tensor((*shape[:axis], total, *shape[axis + 1 :]), inputs[0].dtype),)

    def locality(self, inputs: Sequence[Tensor]) -> Locality:
        return Locality.along(len(inputs[0].shape), mixed=[self.axis])

    def mixes_rows(self, inputs: Sequence[Tensor]) -> bool:
        return on_axis(self, self.axis, inputs[0]) == 0


class Merge(Op):
    """Two or more inputs of one rank, element by element, sizes of 1 stretched; not an op by itself."""

    def infer(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        if len(inputs) < 2:
            raise GraphError(f"{self.kind} takes two or more inputs, found {len(inputs)}")
        for tensor in inputs:
            need(self, tensor, None, FLOATS)
        return (Tensor(broadcast(self, inputs), inputs[0].dtype),)

    def locality(self, inputs: Sequence[Tensor]) -> Locality:
        return Locality.ELEMENT


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Add(Merge):
    """The sum of inputs of one rank; sizes of 1 are stretched to the others'."""


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Subtract(Merge):
    """The first input less the second; sizes of 1 are stretched to the other's."""

    def infer(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        return super().infer(take(self, inputs, 2))


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Average(Merge):
    """The mean of inputs of one rank; sizes of 1 are stretched to the others'."""


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Multiply(Merge):
    """The product of inputs of one rank; sizes of 1 are stretched to the others'.

    An input counts as 1 at its masked steps. Where all inputs have masks and all of them are false the
    product is 0 (Keras 3.15, ``keras/src/layers/merging/multiply.py``).
    """

    masked: ClassVar[Sequence[int]] = EVERY_INPUT


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Maximum(Merge):
    """The largest of inputs of one rank, element by element; sizes of 1 are stretched to the others'.

    Taken from the first input to the last: at its masked steps an input counts as what came before it, and
    what came before counts as the input where all of it was masked. An input without a mask ends the masks
    of what came before it (Keras 3.15, ``keras/src/layers/merging/base_merge.py``).
    """

    masked: ClassVar[Sequence[int]] = EVERY_INPUT


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Minimum(Merge):
    """The smallest of inputs of one rank, element by element; sizes of 1 are stretched to the others'.

    Taken from the first input to the last: at its masked steps an input counts as what came before it, and
    what came before counts as the input where all of it was masked. An input without a mask ends the masks
    of what came before it (Keras 3.15, ``keras/src/layers/merging/base_merge.py``).
    """

    masked: ClassVar[Sequence[int]] = EVERY_INPUT


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Dot(Op):
    """Sums of products of two inputs along one axis of each, row by row of the batch.

    ``(N, ...)`` and ``(N, ...)`` to the first's other sizes and then the second's: ``(N, T, I)`` and
    ``(N, S, I)`` with axes (2, 2) give ``(N, T, S)``. Two vectors a row give ``(N, 1)``.

    Args:
        axes: the axis of either input that is summed over, which is not the batch.
        normalize: both inputs are divided by their lengths along these axes, as in cosine similarity.
    """

    axes: tuple[int, int]
    normalize: bool = False

    def __post_init__(self) -> None:
        axes = tuple(self.axes)
        if len(axes) != 2 or not all(isinstance(axis, int) and not isinstance(axis, bool) for axis in axes):
            raise GraphError(f"{self.kind}: axes should be two integers, found {self.axes!r}")
        object.__setattr__(self, "axes", axes)

    def infer(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        one, two = take(self, inputs, 2)
        for tensor, axis in zip((one, two), self.axes, strict=True):
            need(self, tensor, None, FLOATS)
            rank = len(tensor.shape)
            if not -rank <= axis < rank or axis % rank == 0:
                raise GraphError(f"{self.kind}: axis {axis} is the batch or outside of {tensor}")
        a, b = (axis % len(tensor.shape) for tensor, axis in zip((one, two), self.axes, strict=True))
        if one.dtype != two.dtype or not same_dim(one.shape[a], two.shape[b]):
            raise GraphError(f"{self.kind}: {one} and {two} do not go together along {self.axes}")
        left = (*one.shape[:a], *one.shape[a + 1 :])
        right = (*two.shape[1:b], *two.shape[b + 1 :])
        return (Tensor((*left, *right) if len(left + right) > 1 else (*left, 1), one.dtype),)

    def sum_length(self, inputs: Sequence[Tensor]) -> int:
        return max(fixed_size(tensor.shape[axis]) for tensor, axis in zip(inputs, self.axes, strict=True))


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class LearnedAverage(Op):
    """``w a + (1 - w) b`` of two inputs of one shape, ``(N, T, H)`` or ``(N, H)``, with ``w = σ(weight)``.

    Args:
        weight: ``()``, or ``(H,)`` for a share of each unit's own.

    Source:
        biport's own: the sum of a bidirectional layer's directions, with shares that are learnt. In Keras
        it is the registered layer ``biport>LearnedAverage`` (`keras_side.layers`).
    """

    weight: np.ndarray = parameter()

    def __post_init__(self) -> None:
        shape = self.weight.shape[:1] if isinstance(self.weight, np.ndarray) else ()
        check_array(self.kind, "weight", self.weight, shape, None)

    def infer(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        one, two = take(self, inputs, 2)
        if len(one.shape) not in (2, 3):
            raise GraphError(f"{self.kind} takes 2 or 3 dimensions, found {one}")
        for tensor in (one, two):
            need(self, tensor, None, floats(self), *self.weight.shape)
        match_shapes(self, (one, two), axis=None)
        return (one,)

    def locality(self, inputs: Sequence[Tensor]) -> Locality:
        return Locality.along(len(inputs[0].shape), weighted=[-1] if self.weight.ndim else [])
