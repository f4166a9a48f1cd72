"""Normalisation: by the statistics of the training data, or by those of each step's own features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from biport.errors import GraphError, UnsupportedError, WeightError
from biport.ops.base import Locality, Op, parameter
from biport.ops.checks import check_array, check_number, check_sizes, floats, need, take
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


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class RMSNormalization(Op):
    """``x / √(mean of x² + epsilon) · weight``, the mean taken over as many last axes as the weight has.

    Args:
        epsilon: what keeps the root away from zero.
        weight: of the sizes of these axes; Keras ``scale``.

    Source: keras/src/ops/nn.py of 3.15, ``rms_normalization``.
    """

    epsilon: float = 1e-6
    weight: np.ndarray = parameter()

    def __post_init__(self) -> None:
        _check_epsilon(self.kind, self.epsilon)
        shape = getattr(self.weight, "shape", ())
        check_array(self.kind, "weight", self.weight, shape, None)
        if not shape:
            raise WeightError(f"{self.kind}: weight should have one axis or more")

    @property
    def axes(self) -> tuple[int, ...]:
        """Over which the mean is taken, counted from the end."""
        return tuple(range(-self.weight.ndim, 0))

    def infer(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        (x,) = take(self, inputs, 1)
        need(self, x, None, floats(self))
        axes = _from_front(self, self.axes, x)
        if not all(same_dim(x.shape[axis], size) for axis, size in zip(axes, self.weight.shape, strict=True)):
            raise GraphError(f"{self.kind} takes the last sizes {self.weight.shape}, found {x}")
        return (x,)

    def locality(self, inputs: Sequence[Tensor]) -> Locality:
        return Locality.along(len(inputs[0].shape), mixed=self.axes)


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class GroupNormalization(Op):
    """``(x - mean) / √(variance + epsilon) · weight + bias``, over all axes but the batch, group by group.

    The size along ``axis`` falls into ``groups`` of equal width, one behind the other; a group is normalised
    together with all steps, masked ones too.

    Args:
        groups: how many; as many as the size is normalises each feature over time.
        axis: which is not the batch.
        epsilon: what keeps the root away from zero.
        weight: ``(I,)`` or ``None``; Keras ``gamma``.
        bias: ``(I,)`` or ``None``; Keras ``beta``.

    Source: Wu and He 2018, arXiv:1803.08494; keras/src/layers/normalization/group_normalization.py of 3.15.
    """

    groups: int
    axis: int = -1
    epsilon: float = 1e-3
    weight: np.ndarray | None = parameter()
    bias: np.ndarray | None = parameter()

    def __post_init__(self) -> None:
        check_sizes(self.kind, groups=self.groups)
        _checked_axes(self.kind, (self.axis,))
        _check_epsilon(self.kind, self.epsilon)
        shape = next((array.shape for array in (self.weight, self.bias) if array is not None), (self.groups,))
        if len(shape) != 1 or shape[0] % self.groups:
            raise WeightError(f"{self.kind}: weights of shape {shape} for {self.groups} groups")
        for name in ("weight", "bias"):
            if getattr(self, name) is not None:
                check_array(self.kind, name, getattr(self, name), shape, self.dtype)

    def infer(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        (x,) = take(self, inputs, 1)
        need(self, x, None, floats(self))
        (axis,) = _from_front(self, (self.axis,), x)
        size = x.shape[axis]
        if not isinstance(size, int) or size % self.groups:
            wanted = f"a size along axis {self.axis} that {self.groups} groups share"
            raise GraphError(f"{self.kind} takes {wanted}, found {x}")
        for array in (self.weight, self.bias):
            if array is not None and array.shape != (size,):
                raise GraphError(f"{self.kind} takes a size of {array.shape[0]} along {self.axis}, found {x}")
        return (x,)

    def locality(self, inputs: Sequence[Tensor]) -> Locality:
        shape = inputs[0].shape
        rank, axis = len(shape), self.axis % len(shape)
        together = set(range(1, rank)) - ({axis} if shape[axis] == self.groups else set())
        return Locality.along(rank, mixed=together, weighted=[axis] if self.dtype else [])


NORMALIZATION_LEAST = 1e-7
"""What `Normalization` divides by at least (keras/src/backend/config.py of 3.15, ``epsilon``)."""


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Normalization(Op):
    """``(x - mean) / s``, or with ``invert`` ``mean + x · s``, where ``s = max(√variance, 1e-7)``; any shape.

    Args:
        axes: along which every element has numbers of its own, in ascending order, none of them the batch;
            all counted from the front, or all from the end. None of them for one pair of numbers.
        invert: whether it takes back what it does.
        mean: its sizes are those along the last of ``axes``, or 1, which stretches.
        variance: of the same shape.

    Source: keras/src/layers/preprocessing/normalization.py of 3.15, ``build`` and ``call``.
    """

    statistics: ClassVar[Sequence[str]] = ("mean", "variance")

    axes: tuple[int, ...] = (-1,)
    invert: bool = False
    mean: np.ndarray = parameter()
    variance: np.ndarray = parameter()

    def __post_init__(self) -> None:
        object.__setattr__(self, "axes", _checked_axes(self.kind, self.axes) if self.axes else ())
        shape = getattr(self.mean, "shape", ())
        check_array(self.kind, "mean", self.mean, shape, None)
        check_array(self.kind, "variance", self.variance, shape, self.dtype)
        if len(shape) > len(self.axes):
            raise WeightError(f"{self.kind}: a mean of shape {shape} for {len(self.axes)} axes")
        if (self.variance < 0).any():
            raise WeightError(f"{self.kind}: variance holds negative numbers")

    @property
    def acts_in_training(self) -> bool:
        """Never: the statistics are taken beforehand."""
        return False

    def infer(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        (x,) = take(self, inputs, 1)
        need(self, x, None, floats(self))
        axes = _from_front(self, self.axes, x)
        for axis, size in zip(reversed(axes), reversed(self.mean.shape), strict=False):
            if size != 1 and not same_dim(x.shape[axis], size):
                raise GraphError(f"{self.kind} takes sizes {self.mean.shape} along {self.axes}, found {x}")
        return (x,)

    def locality(self, inputs: Sequence[Tensor]) -> Locality:
        sizes = zip(reversed(self.axes), reversed(self.mean.shape), strict=False)
        return Locality.along(len(inputs[0].shape), weighted=[axis for axis, size in sizes if size > 1])

    def wide(self, array: np.ndarray, rank: int) -> np.ndarray:
        """The mean or the variance as it goes with ``rank`` dimensions, sizes of 1 where it says nothing."""
        sizes = dict(zip(reversed(self.axes), reversed(array.shape), strict=False))
        sizes = {axis % rank: size for axis, size in sizes.items()}
        return array.reshape([sizes.get(axis, 1) for axis in range(rank)])


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Rescaling(Op):
    """``x · scale + offset``; any shape.

    Args:
        scale: one number, or one for each of the last dimension.
        offset: likewise.
    """

    scale: float | tuple[float, ...]
    offset: float | tuple[float, ...] = 0.0

    def __post_init__(self) -> None:
        for name in ("scale", "offset"):
            value = getattr(self, name)
            listed = isinstance(value, list | tuple)
            for number in value if listed else [value]:
                check_number(self.kind, name, number)
            exact = tuple(float(number) for number in value) if listed else float(value)
            if exact == ():
                raise GraphError(f"{self.kind}: {name} has no numbers")
            object.__setattr__(self, name, exact)

    def infer(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        (x,) = take(self, inputs, 1)
        need(self, x, None, FLOATS)
        for name in ("scale", "offset"):
            value = getattr(self, name)
            if isinstance(value, tuple) and not (x.shape and (len(value) == 1 or x.shape[-1] == len(value))):
                raise GraphError(f"{self.kind}: {len(value)} numbers of {name} do not go with {x}")
        return (x,)

    def locality(self, inputs: Sequence[Tensor]) -> Locality:
        listed = any(isinstance(value, tuple) for value in (self.scale, self.offset))
        return Locality.along(len(inputs[0].shape), weighted=[-1] if listed else [])


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
