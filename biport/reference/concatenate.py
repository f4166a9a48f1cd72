"""`ops.Concatenate`."""

from __future__ import annotations

import numpy as np

from biport.ops import Concatenate
from biport.reference.registry import Arrays, Masks, computes


@computes(Concatenate)
def concatenate(op: Concatenate, inputs: Arrays, masks: Masks) -> tuple[np.ndarray, ...]:
    """Arrays of one rank, side by side along ``axis``."""
    return (np.concatenate(list(inputs), axis=op.axis),)
