"""The ops of `biport.ops.shape`."""

from __future__ import annotations

import math

import numpy as np

from biport.errors import InputError
from biport.ops import (
    Cropping,
    Flatten,
    Permute,
    RepeatVector,
    Reshape,
    UpSampling,
    UpSampling2D,
    ZeroPadding,
)
from biport.ops.shape import CROPPINGS, UP_SAMPLINGS, ZERO_PADDINGS
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


@computes(*ZERO_PADDINGS.values())
def zero_padding(op: ZeroPadding, inputs: Arrays, masks: Masks) -> tuple[np.ndarray, ...]:
    """``(N, *T, I)`` to ``(N, before + T + behind, ..., I)``."""
    return (np.pad(inputs[0], ((0, 0), *op.padding, (0, 0))),)


@computes(*CROPPINGS.values())
def cropping(op: Cropping, inputs: Arrays, masks: Masks) -> tuple[np.ndarray, ...]:
    """``(N, *T, I)`` to ``(N, max(T - first - last, 0), ..., I)``."""
    (x,) = inputs
    sizes = zip(op.cropping, x.shape[1:-1], strict=True)
    kept = [slice(first, max(size - last, 0)) for (first, last), size in sizes]
    return (x[(slice(None), *kept)],)


@computes(*UP_SAMPLINGS.values())
def up_sampling(op: UpSampling, inputs: Arrays, masks: Masks) -> tuple[np.ndarray, ...]:
    """``(N, *T, I)`` to ``(N, size · T, ..., I)``."""
    (x,) = inputs
    between = isinstance(op, UpSampling2D) and op.interpolation == "bilinear"
    for axis, times in enumerate(op.size, start=1):
        x = _between(x, axis, times) if between else np.repeat(x, times, axis=axis)
    return (x,)


def _between(x: np.ndarray, axis: int, times: int) -> np.ndarray:
    """An axis ``times`` as long, each element between the two whose centres are beside its own."""
    T = x.shape[axis]
    if T == 0:
        return x
    centre = np.clip((np.arange(T * times) + 0.5) / times - 0.5, 0, T - 1)
    first = np.minimum(centre.astype(int), T - 1)
    share = (centre - first).astype(x.dtype).reshape(-1, *[1] * (x.ndim - axis - 1))
    return x.take(first, axis) * (1 - share) + x.take(np.minimum(first + 1, T - 1), axis) * share
