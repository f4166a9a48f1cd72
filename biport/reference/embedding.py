"""`ops.Embedding`."""

from __future__ import annotations

import numpy as np

from biport.errors import InputError
from biport.ops import Embedding, ToIds
from biport.reference.registry import Arrays, Masks, computes


@computes(ToIds)
def to_ids(op: ToIds, inputs: Arrays, masks: Masks) -> tuple[np.ndarray, ...]:
    """Whole numbers to integers, any shape.

    Raises:
        InputError: there are others.
    """
    (x,) = inputs
    if not np.array_equal(x, np.trunc(x)):
        raise InputError("ids should be whole numbers")
    return (x.astype("int32"),)


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
