"""`ops.NotEqual`, `ops.LogicalOr` and `ops.OnesLike`: where masks come from."""

from __future__ import annotations

from functools import reduce

import numpy as np

from biport.ops import LogicalOr, NotEqual, OnesLike
from biport.reference.registry import Arrays, Masks, computes


@computes(NotEqual)
def not_equal(op: NotEqual, inputs: Arrays, masks: Masks) -> tuple[np.ndarray, ...]:
    """``(N, T)`` integers to booleans."""
    (ids,) = inputs
    return (ids != op.value,)


@computes(LogicalOr)
def logical_or(op: LogicalOr, inputs: Arrays, masks: Masks) -> tuple[np.ndarray, ...]:
    """Masks ``(N, T)`` to the mask of the steps valid in any of them."""
    return (reduce(np.logical_or, inputs),)


@computes(OnesLike)
def ones_like(op: OnesLike, inputs: Arrays, masks: Masks) -> tuple[np.ndarray, ...]:
    """``(N, T, ...)`` to ``(N, T)``, all true."""
    (x,) = inputs
    return (np.ones(x.shape[:2], bool),)
