"""Pooling over the axes between batch and features: over all of them, or over windows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, final

from biport.errors import GraphError
from biport.ops.base import Locality, Op
from biport.ops.checks import TooShortError, need, take
from biport.ops.tensor import FLOATS, Tensor
from biport.ops.windows import AXES, Padding, checked_padding, extent, per_axis, window_counts


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class GlobalPooling(Op):
    """One number for all of ``(N, *T, I)``, ``(N, I)``; not an op by itself.

    Args:
        keepdims: give ``(N, 1, ..., I)``.
    """

    dimensions: ClassVar[int]
    """Over how many axes."""

    keepdims: bool = False

    @property
    def axes(self) -> tuple[int, ...]:
        """Which are pooled over."""
        return tuple(range(1, 1 + self.dimensions))

    def infer(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        (x,) = take(self, inputs, 1)
        need(self, x, 2 + self.dimensions, FLOATS)
        ones = [1] * self.dimensions if self.keepdims else []
        return (Tensor((x.shape[0], *ones, x.shape[-1]), x.dtype),)

    def locality(self, inputs: Sequence[Tensor]) -> Locality:
        return Locality.EVERY_FEATURE


class GlobalMaxPooling(GlobalPooling):
    """The largest value; masked steps count, as in Keras. Not an op by itself.

    Over no step at all there is no maximum: that input is refused.
    """

    def infer(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        outputs = super().infer(inputs)
        if 0 in inputs[0].shape[1:-1]:
            axis = AXES[self.dimensions][inputs[0].shape[1:-1].index(0)]
            raise TooShortError(f"{self.kind}: the maximum over {extent(axis, 0)} is not defined", axis)
        return outputs


class GlobalAveragePooling(GlobalPooling):
    """The mean; NaN of nothing. Not an op by itself."""

    def may_be_nan(self, inputs: Sequence[Tensor], masked: bool) -> bool:
        return masked or any(not isinstance(size, int) or size == 0 for size in inputs[0].shape[1:-1])


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class GlobalMaxPooling1D(GlobalMaxPooling):
    """The largest value over time, ``(N, T, I)`` to ``(N, I)``; masked steps count, as in Keras.

    Over no step at all (T = 0) there is no maximum: that input is refused.

    Args:
        keepdims: give ``(N, 1, I)``.
    """

    dimensions: ClassVar[int] = 1


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class GlobalMaxPooling2D(GlobalMaxPooling):
    """The largest value, ``(N, H, W, I)`` to ``(N, I)``, or with ``keepdims`` ``(N, 1, 1, I)``."""

    dimensions: ClassVar[int] = 2


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class GlobalMaxPooling3D(GlobalMaxPooling):
    """The largest value, ``(N, D, H, W, I)`` to ``(N, I)``, or with ``keepdims`` ``(N, 1, 1, 1, I)``."""

    dimensions: ClassVar[int] = 3


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class GlobalAveragePooling1D(GlobalAveragePooling):
    """The mean over the valid steps, ``(N, T, I)`` to ``(N, I)``; NaN for a row without any, as in Keras.

    Args:
        keepdims: give ``(N, 1, I)``.
    """

    dimensions: ClassVar[int] = 1
    masked: ClassVar[Sequence[int]] = (0,)


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class GlobalAveragePooling2D(GlobalAveragePooling):
    """The mean, ``(N, H, W, I)`` to ``(N, I)``, or with ``keepdims`` ``(N, 1, 1, I)``."""

    dimensions: ClassVar[int] = 2


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class GlobalAveragePooling3D(GlobalAveragePooling):
    """The mean, ``(N, D, H, W, I)`` to ``(N, I)``, or with ``keepdims`` ``(N, 1, 1, 1, I)``."""

    dimensions: ClassVar[int] = 3


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Pooling(Op):
    """One number for each window, ``(N, *T, I)`` to ``(N, *T', I)``; not an op by itself.

    Over too few steps for one window it is not defined: that input is refused. Masked steps count. Where a
    setting has a number for each axis, a single one is meant for all of them.

    Args:
        pool_size: steps in a window along each axis.
        strides: steps from one window to the next along each axis.
        padding: ``"valid"``, windows of ``pool_size`` steps only; ``"same"``, T' = ⌈T / strides⌉ windows,
            the first and the last of fewer steps, the last of the fewest where they differ; or how many steps
            before and behind along each axis windows may reach out. What is not there counts for nothing.
    """

    dimensions: ClassVar[int]
    """Over how many axes."""

    pool_size: tuple[int, ...]
    strides: tuple[int, ...]
    padding: Padding = "valid"

    def __post_init__(self) -> None:
        for name in ("pool_size", "strides"):
            value = per_axis(self.kind, name, getattr(self, name), self.dimensions)
            object.__setattr__(self, name, value)
        padding = checked_padding(self.kind, self.padding, ("valid", "same"), self.dimensions)
        object.__setattr__(self, "padding", padding)
        beyond = [] if isinstance(padding, str) else zip(padding, self.pool_size, strict=True)
        if any(max(pair) >= size for pair, size in beyond):
            raise GraphError(f"{self.kind}: with a padding of {padding} windows are of nothing")

    def infer(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        (x,) = take(self, inputs, 1)
        need(self, x, 2 + self.dimensions, FLOATS)
        steps = window_counts(self, x.shape[1:-1], self.pool_size, self.strides, self.padding)
        return (Tensor((x.shape[0], *steps, x.shape[-1]), x.dtype),)

    def locality(self, inputs: Sequence[Tensor]) -> Locality:
        return Locality.EVERY_FEATURE


class MaxPooling(Pooling):
    """The largest value of each window; not an op by itself."""


class AveragePooling(Pooling):
    """The mean of each window; not an op by itself."""


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class MaxPooling1D(MaxPooling):
    """The largest value of each window over time, ``(N, T, I)`` to ``(N, T', I)``; masked steps count.

    Args:
        pool_size, strides, padding: as for `Pooling`.
    """

    dimensions: ClassVar[int] = 1


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class MaxPooling2D(MaxPooling):
    """The largest value of each window, ``(N, H, W, I)`` to ``(N, H', W', I)``, see `Pooling`."""

    dimensions: ClassVar[int] = 2


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class MaxPooling3D(MaxPooling):
    """The largest value of each window, ``(N, D, H, W, I)`` to ``(N, D', H', W', I)``, see `Pooling`."""

    dimensions: ClassVar[int] = 3


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class AveragePooling1D(AveragePooling):
    """The mean of each window over time, ``(N, T, I)`` to ``(N, T', I)``; masked steps count.

    Args:
        pool_size, strides, padding: as for `Pooling`.
    """

    dimensions: ClassVar[int] = 1


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class AveragePooling2D(AveragePooling):
    """The mean of each window, ``(N, H, W, I)`` to ``(N, H', W', I)``, see `Pooling`."""

    dimensions: ClassVar[int] = 2


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class AveragePooling3D(AveragePooling):
    """The mean of each window, ``(N, D, H, W, I)`` to ``(N, D', H', W', I)``, see `Pooling`."""

    dimensions: ClassVar[int] = 3


MAXIMA: Mapping[int, type[MaxPooling]] = {1: MaxPooling1D, 2: MaxPooling2D, 3: MaxPooling3D}
"""By the number of axes."""

MEANS: Mapping[int, type[AveragePooling]] = {1: AveragePooling1D, 2: AveragePooling2D, 3: AveragePooling3D}
"""By the number of axes."""

GLOBAL_MAXIMA: Mapping[int, type[GlobalMaxPooling]] = {
    1: GlobalMaxPooling1D,
    2: GlobalMaxPooling2D,
    3: GlobalMaxPooling3D,
}
"""By the number of axes."""

GLOBAL_MEANS: Mapping[int, type[GlobalAveragePooling]] = {
    1: GlobalAveragePooling1D,
    2: GlobalAveragePooling2D,
    3: GlobalAveragePooling3D,
}
"""By the number of axes."""
