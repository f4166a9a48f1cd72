"""`ops.GlobalMaxPooling1D` and `ops.GlobalAveragePooling1D`."""

from __future__ import annotations

import numpy as np

from biport.errors import InputError
from biport.ops import GlobalAveragePooling1D, GlobalMaxPooling1D
from biport.reference.registry import Arrays, Masks, computes


@computes(GlobalMaxPooling1D)
def global_max_pooling1d(op: GlobalMaxPooling1D, inputs: Arrays, masks: Masks) -> tuple[np.ndarray, ...]:
    """``(N, T, I)`` to ``(N, I)``.

    Raises:
        InputError: T = 0.
    """
    (x,) = inputs
    if x.shape[1] == 0:
        raise InputError("the maximum over no time steps (T = 0) is not defined")
    return (x.max(axis=1),)


@computes(GlobalAveragePooling1D)
def global_average_pooling1d(
    op: GlobalAveragePooling1D, inputs: Arrays, masks: Masks
) -> tuple[np.ndarray, ...]:
    """``(N, T, I)`` to ``(N, I)``; NaN where no step is valid."""
    (x,), (mask,) = inputs, masks
    valid = np.ones(x.shape[:2], bool) if mask is None else mask
    count = valid.sum(axis=1, keepdims=True).astype(x.dtype)
    with np.errstate(invalid="ignore"):
        return (np.where(valid[..., None], x, 0).sum(axis=1) / count,)
