"""Normalisation, by statistics that the op carries or by those of its input."""

from __future__ import annotations

import numpy as np

from biport.ops import (
    BatchNormalization,
    GroupNormalization,
    LayerNormalization,
    Normalization,
    Rescaling,
    RMSNormalization,
    UnitNormalization,
)
from biport.ops.normalization import NORMALIZATION_LEAST
from biport.reference.registry import Arrays, Masks, computes


@computes(BatchNormalization)
def batch_normalization(op: BatchNormalization, inputs: Arrays, masks: Masks) -> tuple[np.ndarray, ...]:
    """Any shape, by the statistics the op carries."""
    (x,) = inputs
    y = np.moveaxis(x, op.axis, -1)
    y = (y - op.mean) / np.sqrt(op.variance + x.dtype.type(op.epsilon))
    return (np.moveaxis(_affine(y, op.weight, op.bias), -1, op.axis),)


@computes(LayerNormalization)
def layer_normalization(op: LayerNormalization, inputs: Arrays, masks: Masks) -> tuple[np.ndarray, ...]:
    """Any shape, by the mean and the variance over the op's axes."""
    (x,) = inputs
    ends = tuple(range(-len(op.axes), 0))
    y = np.moveaxis(x, op.axes, ends)
    centred = y - y.mean(axis=ends, keepdims=True)
    variance = np.square(centred).mean(axis=ends, keepdims=True)
    y = (y if op.rms_scaling else centred) / np.sqrt(variance + x.dtype.type(op.epsilon))
    return (np.moveaxis(_affine(y, op.weight, op.bias), ends, op.axes),)


@computes(UnitNormalization)
def unit_normalization(op: UnitNormalization, inputs: Arrays, masks: Masks) -> tuple[np.ndarray, ...]:
    """Any shape; what is nothing but zeros stays so."""
    (x,) = inputs
    length = np.sqrt(np.square(x).sum(axis=op.axes, keepdims=True))
    return (x / np.maximum(length, x.dtype.type(1e-12)),)


@computes(RMSNormalization)
def rms_normalization(op: RMSNormalization, inputs: Arrays, masks: Masks) -> tuple[np.ndarray, ...]:
    """Any shape, by the root of the mean square over the op's axes."""
    (x,) = inputs
    square = np.square(x).mean(axis=op.axes, keepdims=True)
    return (x / np.sqrt(square + x.dtype.type(op.epsilon)) * op.weight,)


@computes(GroupNormalization)
def group_normalization(op: GroupNormalization, inputs: Arrays, masks: Masks) -> tuple[np.ndarray, ...]:
    """Any shape, by the mean and the variance of each group over everything but the batch."""
    (x,) = inputs
    if not x.size:
        return (x,)
    last = np.moveaxis(x, op.axis, -1)
    grouped = last.reshape(*last.shape[:-1], op.groups, last.shape[-1] // op.groups)
    together = (*range(1, last.ndim - 1), last.ndim)
    centred = grouped - grouped.mean(axis=together, keepdims=True)
    variance = np.square(centred).mean(axis=together, keepdims=True)
    y = (centred / np.sqrt(variance + x.dtype.type(op.epsilon))).reshape(last.shape)
    return (np.moveaxis(_affine(y, op.weight, op.bias), -1, op.axis),)


@computes(Normalization)
def normalization(op: Normalization, inputs: Arrays, masks: Masks) -> tuple[np.ndarray, ...]:
    """Any shape, by the statistics the op carries."""
    (x,) = inputs
    mean = op.wide(op.mean, x.ndim)
    deviation = np.maximum(np.sqrt(op.wide(op.variance, x.ndim)), x.dtype.type(NORMALIZATION_LEAST))
    return (mean + x * deviation if op.invert else (x - mean) / deviation,)


@computes(Rescaling)
def rescaling(op: Rescaling, inputs: Arrays, masks: Masks) -> tuple[np.ndarray, ...]:
    """Any shape."""
    (x,) = inputs
    return (x * np.asarray(op.scale, x.dtype) + np.asarray(op.offset, x.dtype),)


def _affine(x: np.ndarray, weight: np.ndarray | None, bias: np.ndarray | None) -> np.ndarray:
    x = x if weight is None else x * weight
    return x if bias is None else x + bias
