"""`ops.Conv1D`."""

from __future__ import annotations

import numpy as np

from biport.ops import Conv1D
from biport.reference.functions import ACTIVATIONS
from biport.reference.registry import Arrays, Masks, computes
from biport.reference.windows import cut


@computes(Conv1D)
def conv1d(op: Conv1D, inputs: Arrays, masks: Masks) -> tuple[np.ndarray, ...]:
    """``(N, T, I)`` to ``(N, T', O)``, group by group."""
    (x,) = inputs
    taken = cut(x, op.kernel_size, op.strides, op.padding, op.dilation)
    parts = zip(np.split(taken, op.groups, axis=-1), np.split(op.weight, op.groups), strict=True)
    z = np.concatenate([np.einsum("ntki,oik->nto", part, weight) for part, weight in parts], axis=-1)
    return (ACTIVATIONS[op.activation](z if op.bias is None else z + op.bias),)
