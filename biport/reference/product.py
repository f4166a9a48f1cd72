"""The ops of `biport.ops.product`."""

from __future__ import annotations

import numpy as np

from biport.ops import Einsum, MatMul
from biport.reference.registry import Arrays, Masks, computes


@computes(MatMul)
def matmul(op: MatMul, inputs: Arrays, masks: Masks) -> tuple[np.ndarray, ...]:
    """``(..., S, I)`` and ``(..., I, O)`` to ``(..., S, O)``."""
    return (np.asarray(np.matmul(*inputs)),)


@computes(Einsum)
def einsum(op: Einsum, inputs: Arrays, masks: Masks) -> tuple[np.ndarray, ...]:
    """As the equation says."""
    return (np.asarray(np.einsum(op.equation, *inputs)),)
