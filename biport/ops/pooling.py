"""Pooling over time: over all of it, or over windows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, final

from biport.ops.base import FLOATS, Op, Tensor, TooShortError, check_choice, check_sizes, need, take, windows


def _over_time(op: Op, inputs: Sequence[Tensor], keepdims: bool) -> tuple[Tensor, ...]:
    (x,) = take(op, inputs, 1)
    need(op, x, 3, FLOATS)
    return (Tensor((x.shape[0], *([1] if keepdims else []), x.shape[2]), x.dtype),)


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class GlobalMaxPooling1D(Op):
    """The largest value over time, ``(N, T, I)`` to ``(N, I)``; masked steps count, as in Keras.

    Over no step at all (T = 0) there is no maximum: that input is refused.

    Args:
        keepdims: give ``(N, 1, I)``.
    """

    keepdims: bool = False

    def infer(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        made = _over_time(self, inputs, self.keepdims)
        if inputs[0].shape[1] == 0:
            raise TooShortError(f"{self.kind}: the maximum over no time steps (T = 0) is not defined")
        return made


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class GlobalAveragePooling1D(Op):
    """The mean over the valid steps, ``(N, T, I)`` to ``(N, I)``; NaN for a row without any, as in Keras.

    Args:
        keepdims: give ``(N, 1, I)``.
    """

    masked: ClassVar[Sequence[int]] = (0,)

    keepdims: bool = False

    def infer(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        return _over_time(self, inputs, self.keepdims)


def _check_pool(op: MaxPooling1D | AveragePooling1D) -> None:
    check_sizes(op.kind, pool_size=op.pool_size, strides=op.strides)
    check_choice(op.kind, "padding", op.padding, ("valid", "same"))


def _pooled(op: MaxPooling1D | AveragePooling1D, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
    (x,) = take(op, inputs, 1)
    need(op, x, 3, FLOATS)
    steps = windows(op, x.shape[1], op.pool_size, op.strides, op.padding)
    return (Tensor((x.shape[0], steps, x.shape[2]), x.dtype),)


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class MaxPooling1D(Op):
    """The largest value of each window over time, ``(N, T, I)`` to ``(N, T', I)``; masked steps count.

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
        _check_pool(self)

    def infer(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        return _pooled(self, inputs)


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class AveragePooling1D(Op):
    """The mean of each window over time, ``(N, T, I)`` to ``(N, T', I)``; masked steps count.

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
        _check_pool(self)

    def infer(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        return _pooled(self, inputs)
