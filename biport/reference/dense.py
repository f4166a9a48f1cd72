"""`ops.Dense`."""

from __future__ import annotations

import numpy as np

from biport.ops import Dense
from biport.reference.functions import ACTIVATIONS
from biport.reference.registry import Arrays, Masks, computes


@computes(Dense)
def dense(op: Dense, inputs: Arrays, masks: Masks) -> tuple[np.ndarray, ...]:
    """``(..., I)`` to ``(..., O)``."""
    (x,) = inputs
    z = x @ op.weight.T
    return (ACTIVATIONS[op.activation](z if op.bias is None else z + op.bias),)
