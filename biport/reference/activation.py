"""The layers that are nothing but an activation."""

from __future__ import annotations

import numpy as np

from biport.ops import ELU, Activation, LeakyReLU, PReLU, ReLU, Softmax
from biport.reference.functions import ACTIVATIONS, elu, leaky_relu, softmax
from biport.reference.registry import Arrays, Masks, computes

MASKED_SCORE = -1e9
"""What stands for a masked score (keras/src/layers/activations/softmax.py)."""


@computes(Activation)
def activation(op: Activation, inputs: Arrays, masks: Masks) -> tuple[np.ndarray, ...]:
    """Any shape."""
    # Of infinity some are NaN, of which numpy warns.
    with np.errstate(invalid="ignore"):
        return (ACTIVATIONS[op.function](inputs[0]),)


@computes(ReLU)
def rectified(op: ReLU, inputs: Arrays, masks: Masks) -> tuple[np.ndarray, ...]:
    """Any shape; the maximum is taken of what is above the threshold."""
    (x,) = inputs
    slope, threshold = x.dtype.type(op.negative_slope), x.dtype.type(op.threshold)
    # Of NaN a maximum is NaN, and a comparison false.
    above = np.where(x > threshold, x, 0) if op.threshold else np.maximum(x, 0)
    if op.max_value is not None:
        above = np.minimum(above, x.dtype.type(op.max_value))
    return (above - slope * np.maximum(threshold - x, 0) if op.negative_slope else above,)


@computes(LeakyReLU)
def leaky(op: LeakyReLU, inputs: Arrays, masks: Masks) -> tuple[np.ndarray, ...]:
    """Any shape."""
    return (leaky_relu(inputs[0], op.negative_slope),)


@computes(ELU)
def exponential_linear(op: ELU, inputs: Arrays, masks: Masks) -> tuple[np.ndarray, ...]:
    """Any shape."""
    return (elu(inputs[0], op.alpha),)


@computes(PReLU)
def parametric(op: PReLU, inputs: Arrays, masks: Masks) -> tuple[np.ndarray, ...]:
    """``(N, ...)``, with a slope for each element or shared along axes."""
    (x,) = inputs
    return (np.where(x > 0, x, op.alpha * x),)


@computes(Softmax)
def softmax_layer(op: Softmax, inputs: Arrays, masks: Masks) -> tuple[np.ndarray, ...]:
    """Over one axis or several."""
    (x,), (mask,) = inputs, masks
    if mask is None:
        return (softmax(x, op.axis),)
    return (np.where(mask, softmax(np.where(mask, x, x.dtype.type(MASKED_SCORE)), op.axis), 0),)
