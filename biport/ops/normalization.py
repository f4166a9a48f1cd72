"""Normalisation: by the statistics of the training data, or by those of each step's own features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from biport.errors import GraphError, UnsupportedError, WeightError
from biport.ops.base import Locality, Op, parameter
from biport.ops.checks import check_array, check_sizes, floats, need, take
from biport.ops.tensor import FLOATS, Tensor, same_dim


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class BatchNormalization(Op):
    """``(x - mean) / √(variance + epsilon) · weight + bias`` along ``axis``, any shape.

    Args:
        size: I, the size of ``axis``.
        axis: which is not the batch.
        epsilon: what keeps the root away from zero.
        momentum: how much of the statistics a training step keeps, Keras' way; torch counts what it takes.
        weight: ``(I,)`` or ``None``; Keras ``gamma``.
        bias: ``(I,)`` or ``None``; Keras ``beta``.
        mean: ``(I,)``; Keras ``moving_mean``.
        variance: ``(I,)``; Keras ``moving_variance``.
    """

    statistics: ClassVar[Sequence[str]] = ("mean", "variance")
    training: ClassVar[Sequence[str]] = ("momentum",)

    size: int
    axis: int = -1
    epsilon: float = 1e-3
    momentum: float = 0.99
    weight: np.ndarray | None = parameter()
    bias: np.ndarray | None = parameter()
    mean: np.ndarray = parameter()
    variance: np.ndarray = parameter()

    def __post_init__(self) -> None:
        check_sizes(self.kind, size=self.size)
        _check_epsilon(self.kind, self.epsilon)
        for name in ("mean", "variance", "weight", "bias"):
            array = getattr(self, name)
            if array is not None or name in ("mean", "variance"):
                check_array(self.kind, name, array, (self.size,), self.dtype)
        if (self.variance < 0).any():
            raise WeightError(f"{self.kind}: variance holds negative numbers")

    def infer(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        (x,) = take(self, inputs, 1)
        need(self, x, None, floats(self))
        (axis,) = _from_front(self, (self.axis,), x)
        if not same_dim(x.shape[axis], self.size):
            raise GraphError(f"{self.kind} takes a size of {self.size} along axis {self.axis}, found {x}")
        return (x,)

    def locality(self, inputs: Sequence[Tensor]) -> Locality:
        return Locality.along(len(inputs[0].shape), weighted=[self.axis])


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class LayerNormalization(Op):
    """``(x - mean) / √(variance + epsilon) · weight + bias``, mean and variance taken over ``axes``.

    Args:
        axes: in ascending order, none of them the batch; all counted from the front, or all from the end.
        epsilon: what keeps the root away from zero.
        rms_scaling: x stays where it is, ``x / √(variance + epsilon) · weight``, and there is no bias; the
            variance is still that about the mean (Keras 3.15, ``keras/src/ops/nn.py``).
        weight: of the sizes of ``axes``, or ``None``; Keras ``gamma``.
        bias: of the same shape, or ``None``; Keras ``beta``.
    """

    axes: tuple[int, ...] = (-1,)
    epsilon: float = 1e-3
    rms_scaling: bool = False
    weight: np.ndarray | None = parameter()
    bias: np.ndarray | None = parameter()

    def __post_init__(self) -> None:
        object.__setattr__(self, "axes", _checked_axes(self.kind, self.axes))
        _check_epsilon(self.kind, self.epsilon)
        shape = next((array.shape for array in (self.weight, self.bias) if array is not None), ())
        for name in ("weight", "bias"):
            if getattr(self, name) is not None:
                check_array(self.kind, name, getattr(self, name), shape, self.dtype)
        if self.rms_scaling and self.bias is not None:
            raise WeightError(f"{self.kind}: with rms_scaling there is no bias")
        if shape and len(shape) != len(self.axes):
            raise WeightError(f"{self.kind}: weights of shape {shape} for {len(self.axes)} axes")

    def infer(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        (x,) = take(self, inputs, 1)
        need(self, x, None, floats(self) if self.dtype else FLOATS)
        sizes = [x.shape[axis] for axis in _from_front(self, self.axes, x)]
        if any(not isinstance(size, int) for size in sizes):
            raise UnsupportedError(self.kind, "axes", list(self.axes), f"axes of fixed sizes, found {x}")
        for array in (self.weight, self.bias):
            if array is not None and array.shape != tuple(sizes):
                raise GraphError(f"{self.kind} takes sizes {array.shape} along {self.axes}, found {x}")
        return (x,)

    def locality(self, inputs: Sequence[Tensor]) -> Locality:
        return Locality.along(len(inputs[0].shape), mixed=self.axes)


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class UnitNormalization(Op):
    """``x / max(√(Σ x²), 1e-12)``, the sum taken over ``axes``: of length 1 along them; any shape.

    Args:
        axes: in ascending order, none of them the batch; all counted from the front, or all from the end.

    Source: keras/src/layers/normalization/unit_normalization.py of 3.15; torch ``functional.normalize``.
    """

    axes: tuple[int, ...] = (-1,)

    def __post_init__(self) -> None:
        object.__setattr__(self, "axes", _checked_axes(self.kind, self.axes))

    def infer(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        (x,) = take(self, inputs, 1)
        need(self, x, None, FLOATS)
        _from_front(self, self.axes, x)
        return (x,)

    def locality(self, inputs: Sequence[Tensor]) -> Locality:
        return Locality.along(len(inputs[0].shape), mixed=self.axes)


def _checked_axes(owner: str, given: Sequence[int]) -> tuple[int, ...]:
    axes = tuple(given)
    if not axes or not all(isinstance(axis, int) and not isinstance(axis, bool) for axis in axes):
        raise GraphError(f"{owner}: axes should be one or more integers, found {given!r}")
    if list(axes) != sorted(set(axes)) or axes[0] < 0 <= axes[-1]:
        supported = "ascending axes, all counted from the front or all from the end"
        raise UnsupportedError(owner, "axes", list(axes), supported)
    return axes


def _check_epsilon(owner: str, epsilon: float) -> None:
    if not isinstance(epsilon, float) or not 0 <= epsilon < float("inf"):
        raise GraphError(f"{owner}: epsilon should be a number of 0 or more, found {epsilon!r}")


def _from_front(op: Op, axes: Sequence[int], x: Tensor) -> list[int]:
    """The axes counted from the front."""
    rank = len(x.shape)
    if any(not -rank <= axis < rank or axis % rank == 0 for axis in axes):
        raise GraphError(f"{op.kind}: axes {list(axes)} are the batch or outside of {x}")
    return [axis % rank for axis in axes]
