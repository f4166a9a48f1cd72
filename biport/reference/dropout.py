"""`ops.Dropout` and `ops.SpatialDropout1D`: nothing at inference."""

from __future__ import annotations

import numpy as np

from biport.ops import Dropout, SpatialDropout1D
from biport.reference.registry import Arrays, Masks, computes


@computes(Dropout, SpatialDropout1D)
def identity(op: Dropout | SpatialDropout1D, inputs: Arrays, masks: Masks) -> tuple[np.ndarray, ...]:
    """The input as it is."""
    return (inputs[0],)
