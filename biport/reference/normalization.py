"""`ops.BatchNormalization`, `ops.LayerNormalization` and `ops.UnitNormalization`."""

from __future__ import annotations

import numpy as np

from biport.ops import BatchNormalization, LayerNormalization, UnitNormalization
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


def _affine(x: np.ndarray, weight: np.ndarray | None, bias: np.ndarray | None) -> np.ndarray:
    x = x if weight is None else x * weight
    return x if bias is None else x + bias
