"""`ops.NotEqual` and `ops.LogicalOr`: where masks come from."""

from __future__ import annotations

import numpy as np

from biport.ops import LogicalOr, NotEqual
from biport.reference.registry import Arrays, Masks, computes


@computes(NotEqual)
def not_equal(op: NotEqual, inputs: Arrays, masks: Masks) -> tuple[np.ndarray, ...]:
    """``(N, T)`` integers to booleans."""
    (ids,) = inputs
    return (ids != op.value,)


@computes(LogicalOr)
def logical_or(op: LogicalOr, inputs: Arrays, masks: Masks) -> tuple[np.ndarray, ...]:
    """Masks ``(N, T)`` to the mask of the steps valid in any of them."""
    return (np.logical_or.reduce(list(inputs)),)
