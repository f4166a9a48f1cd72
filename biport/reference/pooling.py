"""Pooling over time: over all of it, or over windows."""

from __future__ import annotations

import numpy as np

from biport.errors import InputError
from biport.ops import AveragePooling1D, GlobalAveragePooling1D, GlobalMaxPooling1D, MaxPooling1D
from biport.reference.registry import Arrays, Masks, computes
from biport.reference.windows import cut


@computes(GlobalMaxPooling1D)
def global_max_pooling1d(op: GlobalMaxPooling1D, inputs: Arrays, masks: Masks) -> tuple[np.ndarray, ...]:
    """``(N, T, I)`` to ``(N, I)``.

    Raises:
        InputError: T = 0.
    """
    (x,) = inputs
    if x.shape[1] == 0:
        raise InputError("the maximum over no time steps (T = 0) is not defined")
    return (x.max(axis=1, keepdims=op.keepdims),)


@computes(GlobalAveragePooling1D)
def global_average_pooling1d(
    op: GlobalAveragePooling1D, inputs: Arrays, masks: Masks
) -> tuple[np.ndarray, ...]:
    """``(N, T, I)`` to ``(N, I)``; NaN where no step is valid."""
    (x,), (mask,) = inputs, masks
    valid = np.ones(x.shape[:2], bool) if mask is None else mask
    count = valid.sum(axis=1, keepdims=True).astype(x.dtype)
    with np.errstate(invalid="ignore"):
        mean = np.where(valid[..., None], x, 0).sum(axis=1) / count
    return (mean[:, None] if op.keepdims else mean,)


@computes(MaxPooling1D)
def max_pooling1d(op: MaxPooling1D, inputs: Arrays, masks: Masks) -> tuple[np.ndarray, ...]:
    """``(N, T, I)`` to ``(N, T', I)``."""
    return (cut(inputs[0], op.pool_size, op.strides, op.padding, fill=-np.inf).max(axis=2),)


@computes(AveragePooling1D)
def average_pooling1d(op: AveragePooling1D, inputs: Arrays, masks: Masks) -> tuple[np.ndarray, ...]:
    """``(N, T, I)`` to ``(N, T', I)``; padding is not part of the mean."""
    (x,) = inputs
    total = cut(x, op.pool_size, op.strides, op.padding).sum(axis=2)
    # Steps are counted by pooling ones, so that a NaN among the numbers stays one.
    count = cut(np.ones_like(x), op.pool_size, op.strides, op.padding).sum(axis=2)
    return (total / count,)
