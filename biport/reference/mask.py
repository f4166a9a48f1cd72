"""Masks: compared for, joined and laid over data."""

from __future__ import annotations

from functools import reduce

import numpy as np

from biport.ops import FeaturesNotEqual, LogicalAnd, LogicalOr, Masking, NotEqual, OnesLike
from biport.reference.registry import Arrays, Masks, computes


@computes(NotEqual)
def not_equal(op: NotEqual, inputs: Arrays, masks: Masks) -> tuple[np.ndarray, ...]:
    """``(N, T)`` integers to booleans."""
    (ids,) = inputs
    return (ids != op.value,)


@computes(LogicalAnd)
def logical_and(op: LogicalAnd, inputs: Arrays, masks: Masks) -> tuple[np.ndarray, ...]:
    """Masks ``(N, T)`` to the mask of the steps valid in all of them."""
    return (reduce(np.logical_and, inputs),)


@computes(LogicalOr)
def logical_or(op: LogicalOr, inputs: Arrays, masks: Masks) -> tuple[np.ndarray, ...]:
    """Masks ``(N, T)`` to the mask of the steps valid in any of them."""
    return (reduce(np.logical_or, inputs),)


@computes(OnesLike)
def ones_like(op: OnesLike, inputs: Arrays, masks: Masks) -> tuple[np.ndarray, ...]:
    """``(N, T, ...)`` to ``(N, T)``, all true."""
    (x,) = inputs
    return (np.ones(x.shape[:2], bool),)


@computes(FeaturesNotEqual)
def features_not_equal(op: FeaturesNotEqual, inputs: Arrays, masks: Masks) -> tuple[np.ndarray, ...]:
    """``(N, T, I)`` floats to booleans ``(N, T)``."""
    return ((inputs[0] != op.value).any(axis=-1),)


@computes(Masking)
def masking(op: Masking, inputs: Arrays, masks: Masks) -> tuple[np.ndarray, ...]:
    """``(..., I)`` with zeros where all of I are ``mask_value``."""
    (x,) = inputs
    return (np.where((x != op.mask_value).any(axis=-1, keepdims=True), x, 0),)
