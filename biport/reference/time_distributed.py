"""`ops.TimeDistributed`."""

from __future__ import annotations

import numpy as np

from biport.ops import TimeDistributed
from biport.reference.registry import REFERENCES, Arrays, Masks, computes


@computes(TimeDistributed)
def time_distributed(op: TimeDistributed, inputs: Arrays, masks: Masks) -> tuple[np.ndarray, ...]:
    """``(N, T, ...)``, every step a row of its own."""
    (x,) = inputs
    N, T = x.shape[:2]
    rows = x.reshape(N * T, *x.shape[2:])
    (output,) = REFERENCES.lookup(type(op.layer), op.kind)(op.layer, [rows], [None])
    return (output.reshape(N, T, *output.shape[1:]),)
