"""Pooling over time: over all of it, or over windows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, final

from biport.ops.base import Locality, Op
from biport.ops.checks import TooShortError, check_choice, check_sizes, need, take, windows
from biport.ops.tensor import FLOATS, Tensor


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class GlobalPooling(Op):
    """One number for all of time; not an op by itself.

    Args:
        keepdims: give ``(N, 1, I)``.
    """

    keepdims: bool = False

    def infer(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        (x,) = take(self, inputs, 1)
        need(self, x, 3, FLOATS)
        return (Tensor((x.shape[0], *([1] if self.keepdims else []), x.shape[2]), x.dtype),)

    def locality(self, inputs: Sequence[Tensor]) -> Locality:
        return Locality.EVERY_FEATURE


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class GlobalMaxPooling1D(GlobalPooling):
    """The largest value over time, ``(N, T, I)`` to ``(N, I)``; masked steps count, as in Keras.

    Over no step at all (T = 0) there is no maximum: that input is refused.

    Args:
        keepdims: give ``(N, 1, I)``.
    """

    def infer(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        outputs = super().infer(inputs)
        if inputs[0].shape[1] == 0:
            raise TooShortError(f"{self.kind}: the maximum over no time steps (T = 0) is not defined")
        return outputs


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class GlobalAveragePooling1D(GlobalPooling):
    """The mean over the valid steps, ``(N, T, I)`` to ``(N, I)``; NaN for a row without any, as in Keras.

    Args:
        keepdims: give ``(N, 1, I)``.
    """

    masked: ClassVar[Sequence[int]] = (0,)

    def may_be_nan(self, inputs: Sequence[Tensor], masked: bool) -> bool:
        steps = inputs[0].shape[1]
        return masked or not isinstance(steps, int) or steps == 0


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Pooling(Op):
    """One number for each window over time; not an op by itself.

    Over too few steps for one window it is not defined: that input is refused.

    Args:
        pool_size: steps in a window.
        strides: steps from one window to the next.
        padding: ``"valid"``, windows of ``pool_size`` steps only; ``"same"``, T' = ⌈T / strides⌉ windows,
            the first and the last of fewer steps, the last of the fewest where they differ.
    """

    pool_size: int
    strides: int
    padding: str = "valid"

    def __post_init__(self) -> None:
        check_sizes(self.kind, pool_size=self.pool_size, strides=self.strides)
        check_choice(self.kind, "padding", self.padding, ("valid", "same"))

    def infer(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        (x,) = take(self, inputs, 1)
        need(self, x, 3, FLOATS)
        steps = windows(self, x.shape[1], self.pool_size, self.strides, self.padding)
        return (Tensor((x.shape[0], steps, x.shape[2]), x.dtype),)

    def locality(self, inputs: Sequence[Tensor]) -> Locality:
        return Locality.EVERY_FEATURE


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class MaxPooling1D(Pooling):
    """The largest value of each window over time, ``(N, T, I)`` to ``(N, T', I)``; masked steps count.

    Args:
        pool_size, strides, padding: as for `Pooling`.
    """


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class AveragePooling1D(Pooling):
    """The mean of each window over time, ``(N, T, I)`` to ``(N, T', I)``; masked steps count.

    Args:
        pool_size, strides, padding: as for `Pooling`.
    """
