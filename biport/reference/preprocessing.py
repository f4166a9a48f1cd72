"""`ops.CategoryEncoding`, `ops.Discretization` and `ops.IntegerLookup`."""

from __future__ import annotations

import numpy as np

from biport.errors import InputError
from biport.ops import CategoryEncoding, Discretization, IntegerLookup
from biport.reference.registry import Arrays, Masks, computes


@computes(CategoryEncoding)
def category_encoding(op: CategoryEncoding, inputs: Arrays, masks: Masks) -> tuple[np.ndarray, ...]:
    """Ids to vectors of V.

    Raises:
        InputError: there is one id, or none, along the last axis of ids that become vectors each.
    """
    (ids,) = inputs
    if op.output_mode == "one_hot" and ids.ndim > 1 and ids.shape[-1] < 2:
        raise InputError(f"one_hot takes 2 ids or more along the last axis, found {ids.shape[-1]}")
    equal = ids[..., None] == np.arange(op.num_tokens)
    if op.output_mode == "multi_hot":
        equal = equal.any(axis=-2)
    if op.output_mode == "count":
        equal = equal.sum(axis=-2)
    return (equal.astype(op.float_dtype),)


@computes(IntegerLookup)
def integer_lookup(op: IntegerLookup, inputs: Arrays, masks: Masks) -> tuple[np.ndarray, ...]:
    """Tokens to numbers, any shape."""
    tokens = inputs[0].astype("int64")
    numbers = tokens % op.num_oov_indices + op.first_unknown
    known = op.numbers()
    order = np.array(sorted(known), "int64")
    positions = np.minimum(np.searchsorted(order, tokens), len(order) - 1)
    there = order[positions] == tokens
    own = np.array([known[int(token)] for token in order], "int64")[positions]
    return (np.where(there, own, numbers),)


@computes(Discretization)
def discretization(op: Discretization, inputs: Arrays, masks: Masks) -> tuple[np.ndarray, ...]:
    """Numbers to the ids of their bins, any shape: a bin for each boundary that a number is not below."""
    below = inputs[0].astype("float32")[..., None] < np.array(op.boundaries, "float32")
    return ((len(op.boundaries) - below.sum(axis=-1)).astype("int32"),)
