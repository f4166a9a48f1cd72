"""Several values into one: side by side, element by element, and `ops.Dot`."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce

import numpy as np

from biport.ops import Add, Average, Concatenate, Dot, LearnedAverage, Maximum, Minimum, Multiply, Subtract
from biport.reference.functions import ACTIVATIONS
from biport.reference.registry import Arrays, Masks, computes


@computes(Concatenate)
def concatenate(op: Concatenate, inputs: Arrays, masks: Masks) -> tuple[np.ndarray, ...]:
    """Arrays of one rank, side by side along ``axis``."""
    return (np.concatenate(list(inputs), axis=op.axis),)


@computes(Add, Average)
def total(op: Add | Average, inputs: Arrays, masks: Masks) -> tuple[np.ndarray, ...]:
    """The sum or the mean of arrays of one rank."""
    summed = reduce(np.add, inputs)
    return (summed / len(inputs) if isinstance(op, Average) else summed,)


@computes(Subtract)
def subtract(op: Subtract, inputs: Arrays, masks: Masks) -> tuple[np.ndarray, ...]:
    """The first array less the second."""
    one, two = inputs
    return (one - two,)


def _wide(mask: np.ndarray, x: np.ndarray) -> np.ndarray:
    """A mask ``(N, T)`` as wide as ``x``, ``(N, T, ...)``."""
    return np.broadcast_to(mask.reshape(mask.shape + (1,) * (x.ndim - 2)), x.shape)


@computes(Multiply)
def multiply(op: Multiply, inputs: Arrays, masks: Masks) -> tuple[np.ndarray, ...]:
    """The product; masked steps count as 1, and are 0 where every input is masked."""
    wide = [_wide(mask, x) for x, mask in zip(inputs, masks, strict=True) if mask is not None]
    factors = [
        x if mask is None else np.where(_wide(mask, x), x, x.dtype.type(1))
        for x, mask in zip(inputs, masks, strict=True)
    ]
    product = reduce(np.multiply, factors)
    if len(wide) == len(inputs):
        product = np.where(reduce(np.logical_or, wide), product, product.dtype.type(0))
    return (product,)


@computes(Maximum, Minimum)
def extreme(op: Maximum | Minimum, inputs: Arrays, masks: Masks) -> tuple[np.ndarray, ...]:
    """The largest or the smallest of arrays of one rank, masked steps left out as Keras leaves them out."""
    choose: Callable[..., np.ndarray] = np.maximum if isinstance(op, Maximum) else np.minimum
    so_far = inputs[0]
    valid = None if masks[0] is None else _wide(masks[0], so_far)
    for x, mask in zip(inputs[1:], masks[1:], strict=True):
        here = None if mask is None else _wide(mask, x)
        x = x if here is None else np.where(here, x, so_far)
        so_far = so_far if valid is None else np.where(valid, so_far, x)
        valid = None if valid is None or here is None else valid | here
        so_far = choose(so_far, x)
    return (so_far,)


@computes(LearnedAverage)
def learned_average(op: LearnedAverage, inputs: Arrays, masks: Masks) -> tuple[np.ndarray, ...]:
    """Two arrays of one shape, weighted by shares that make 1 together."""
    one, two = inputs
    share = ACTIVATIONS["sigmoid"](op.weight)
    return (share * one + (1 - share) * two,)


@computes(Dot)
def dot(op: Dot, inputs: Arrays, masks: Masks) -> tuple[np.ndarray, ...]:
    """Sums of products along one axis of each; two vectors a row give ``(N, 1)``."""
    one, two = (np.moveaxis(x, axis, -1) for x, axis in zip(inputs, op.axes, strict=True))
    if op.normalize:
        one, two = _unit(one), _unit(two)
    left, right = one.shape[1:-1], two.shape[1:-1]
    # Sizes said in full, because -1 is ambiguous for an empty array.
    one = one.reshape(len(one), int(np.prod(left)), one.shape[-1])
    two = two.reshape(len(two), int(np.prod(right)), two.shape[-1])
    sums = one @ two.swapaxes(1, 2)
    return (sums.reshape(len(sums), *(left + right or (1,))),)


def _unit(x: np.ndarray) -> np.ndarray:
    """Vectors along the last axis divided by their lengths; those shorter than 1e-7 by 1e-7, as in Keras."""
    length = np.sqrt(np.square(x).sum(axis=-1, keepdims=True))
    return x / np.maximum(length, x.dtype.type(1e-7))
