"""`ops.Embedding`."""

from __future__ import annotations

import numpy as np

from biport.errors import InputError
from biport.ops import Embedding
from biport.reference.registry import Arrays, Masks, computes


@computes(Embedding)
def embedding(op: Embedding, inputs: Arrays, masks: Masks) -> tuple[np.ndarray, ...]:
    """``(N, T)`` ids to ``(N, T, O)``.

    Raises:
        InputError: an id is negative or not below V.
    """
    (ids,) = inputs
    if ids.size and (ids.min() < 0 or ids.max() >= op.num_embeddings):
        raise InputError(f"ids should be in [0, {op.num_embeddings}), found {ids.min()} to {ids.max()}")
    return (op.weight[ids],)
