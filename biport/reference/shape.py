"""The ops of `biport.ops.shape`."""

from __future__ import annotations

import math

import numpy as np

from biport.errors import InputError
from biport.ops import Cropping1D, Flatten, Permute, RepeatVector, Reshape, UpSampling1D, ZeroPadding1D
from biport.reference.registry import Arrays, Masks, computes


@computes(Reshape)
def reshape(op: Reshape, inputs: Arrays, masks: Masks) -> tuple[np.ndarray, ...]:
    """``(N, ...)`` to ``(N, *target_shape)``.

    Raises:
        InputError: a row has another number of elements.
    """
    (x,) = inputs
    known = math.prod(size for size in op.target_shape if size != -1)
    left, rest = divmod(math.prod(x.shape[1:]), known)
    if rest or (-1 not in op.target_shape and left != 1):
        raise InputError(f"rows of shape {x.shape[1:]} do not go into {op.target_shape}")
    # Said in full: over an empty batch -1 could be anything.
    return (x.reshape(len(x), *(left if size == -1 else size for size in op.target_shape)),)


@computes(Flatten)
def flatten(op: Flatten, inputs: Arrays, masks: Masks) -> tuple[np.ndarray, ...]:
    """``(N, ...)`` to ``(N, O)``."""
    (x,) = inputs
    return (x.reshape(len(x), math.prod(x.shape[1:])),)


@computes(Permute)
def permute(op: Permute, inputs: Arrays, masks: Masks) -> tuple[np.ndarray, ...]:
    """``(N, ...)`` with its axes in another order."""
    return (inputs[0].transpose(0, *op.dims),)


@computes(RepeatVector)
def repeat_vector(op: RepeatVector, inputs: Arrays, masks: Masks) -> tuple[np.ndarray, ...]:
    """``(N, I)`` to ``(N, n, I)``."""
    return (np.repeat(inputs[0][:, None], op.n, axis=1),)


@computes(ZeroPadding1D)
def zero_padding1d(op: ZeroPadding1D, inputs: Arrays, masks: Masks) -> tuple[np.ndarray, ...]:
    """``(N, T, I)`` to ``(N, before + T + behind, I)``."""
    return (np.pad(inputs[0], ((0, 0), op.padding, (0, 0))),)


@computes(Cropping1D)
def cropping1d(op: Cropping1D, inputs: Arrays, masks: Masks) -> tuple[np.ndarray, ...]:
    """``(N, T, I)`` to ``(N, max(T - first - last, 0), I)``."""
    (x,) = inputs
    first, last = op.cropping
    return (x[:, first : max(x.shape[1] - last, 0)],)


@computes(UpSampling1D)
def up_sampling1d(op: UpSampling1D, inputs: Arrays, masks: Masks) -> tuple[np.ndarray, ...]:
    """``(N, T, I)`` to ``(N, size · T, I)``."""
    return (np.repeat(inputs[0], op.size, axis=1),)
