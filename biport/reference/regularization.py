"""The ops that do nothing at inference."""

from __future__ import annotations

import numpy as np

from biport import ops
from biport.reference.registry import Arrays, Masks, computes


@computes(
    ops.ActivityRegularization,
    ops.AlphaDropout,
    ops.Dropout,
    ops.GaussianDropout,
    ops.GaussianNoise,
    ops.Identity,
    ops.SpatialDropout1D,
    ops.SpatialDropout2D,
    ops.SpatialDropout3D,
)
def identity(op: ops.Op, inputs: Arrays, masks: Masks) -> tuple[np.ndarray, ...]:
    """The input as it is."""
    return (inputs[0],)
