"""Pooling over time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, final

from biport.ops.base import FLOATS, Op, Tensor, need, take


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class GlobalMaxPooling1D(Op):
    """The largest value over time, ``(N, T, I)`` to ``(N, I)``; masked steps count, as in Keras.

    Over no step at all (T = 0) there is no maximum: that input is refused.
    """

    def infer(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        (x,) = take(self, inputs, 1)
        need(self, x, 3, FLOATS)
        return (Tensor((x.shape[0], x.shape[2]), x.dtype),)


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class GlobalAveragePooling1D(Op):
    """The mean over the valid steps, ``(N, T, I)`` to ``(N, I)``; NaN for a row without any, as in Keras."""

    masked: ClassVar[tuple[int, ...]] = (0,)

    def infer(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        (x,) = take(self, inputs, 1)
        need(self, x, 3, FLOATS)
        return (Tensor((x.shape[0], x.shape[2]), x.dtype),)
