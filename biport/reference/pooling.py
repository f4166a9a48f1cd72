"""The ops of `biport.ops.pooling`."""

from __future__ import annotations

from functools import reduce

import numpy as np

from biport.errors import InputError
from biport.ops import AveragePooling, GlobalAveragePooling, GlobalMaxPooling, MaxPooling, Pooling
from biport.ops.pooling import GLOBAL_MAXIMA, GLOBAL_MEANS, MAXIMA, MEANS
from biport.ops.windows import AXES, extent
from biport.reference.registry import Arrays, Masks, computes
from biport.reference.windows import padded, positions


@computes(*GLOBAL_MAXIMA.values())
def global_max_pooling(op: GlobalMaxPooling, inputs: Arrays, masks: Masks) -> tuple[np.ndarray, ...]:
    """``(N, *T, I)`` to ``(N, I)``.

    Raises:
        InputError: there is nothing, T = 0.
    """
    (x,) = inputs
    if 0 in x.shape[1:-1]:
        axis = AXES[op.dimensions][x.shape[1:-1].index(0)]
        raise InputError(f"the maximum over {extent(axis, 0)} is not defined")
    return (x.max(axis=op.axes, keepdims=op.keepdims),)


@computes(*GLOBAL_MEANS.values())
def global_average_pooling(op: GlobalAveragePooling, inputs: Arrays, masks: Masks) -> tuple[np.ndarray, ...]:
    """``(N, *T, I)`` to ``(N, I)``; NaN where no step is valid."""
    (x,), (mask,) = inputs, masks
    valid = np.ones(x.shape[:-1], bool) if mask is None else mask
    count = valid.sum(axis=op.axes)[:, None].astype(x.dtype)
    with np.errstate(invalid="ignore"):
        mean = np.where(valid[..., None], x, 0).sum(axis=op.axes) / count
    return (np.expand_dims(mean, op.axes) if op.keepdims else mean,)


@computes(*MAXIMA.values())
def max_pooling(op: MaxPooling, inputs: Arrays, masks: Masks) -> tuple[np.ndarray, ...]:
    """``(N, *T, I)`` to ``(N, *T', I)``."""
    return (reduce(np.maximum, _windows(op, inputs[0], -np.inf)),)


@computes(*MEANS.values())
def average_pooling(op: AveragePooling, inputs: Arrays, masks: Masks) -> tuple[np.ndarray, ...]:
    """``(N, *T, I)`` to ``(N, *T', I)``; padding is not part of the mean."""
    (x,) = inputs
    # Steps are counted by pooling ones, so that a NaN among the numbers stays one.
    total, count = (reduce(np.add, _windows(op, numbers, 0.0)) for numbers in (x, np.ones_like(x)))
    return (total / count,)


def _windows(op: Pooling, x: np.ndarray, fill: float) -> list[np.ndarray]:
    """What all windows have at each position in them."""
    x = padded(x, op.pool_size, op.strides, op.padding, fill)
    return [part for _, part in positions(x, op.pool_size, op.strides, (1,) * op.dimensions)]
