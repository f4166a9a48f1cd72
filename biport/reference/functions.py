"""Activations by their Keras names."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np


def sigmoid(x: np.ndarray) -> np.ndarray:
    """``1 / (1 + exp(-x))``, by way of tanh, which cannot overflow."""
    scale = x.dtype.type(0.5)
    return scale * (np.tanh(scale * x) + 1)


def softmax(x: np.ndarray, axis: int | tuple[int, ...] = -1) -> np.ndarray:
    """Over ``axis``; shifted so that it cannot overflow. Of nothing but minus infinity it is NaN."""
    with np.errstate(invalid="ignore"):
        raised = np.exp(_shifted(x, axis))
        return raised / raised.sum(axis=axis, keepdims=True)


def log_softmax(x: np.ndarray, axis: int = -1) -> np.ndarray:
    """The logarithm of `softmax`."""
    with np.errstate(invalid="ignore", divide="ignore"):
        shifted = _shifted(x, axis)
        return shifted - np.log(np.exp(shifted).sum(axis=axis, keepdims=True))


def _shifted(x: np.ndarray, axis: int | tuple[int, ...]) -> np.ndarray:
    """The largest element becomes 0; of nothing it is nothing."""
    return x - x.max(axis=axis, keepdims=True, initial=-np.inf)


def softplus(x: np.ndarray) -> np.ndarray:
    """``log(1 + exp(x))``."""
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def elu(x: np.ndarray, alpha: float = 1.0) -> np.ndarray:
    """``x`` above zero, ``alpha (exp(x) - 1)`` below."""
    return np.maximum(x, 0) + x.dtype.type(alpha) * np.expm1(np.minimum(x, 0))


def leaky_relu(x: np.ndarray, slope: float = 0.2) -> np.ndarray:
    """``x`` above zero, ``slope · x`` below."""
    return np.where(x > 0, x, x.dtype.type(slope) * x)


def selu(x: np.ndarray) -> np.ndarray:
    """Scaled `elu`, with the constants of Klambauer et al. 2017."""
    return x.dtype.type(1.0507009873554805) * elu(x, 1.6732632423543772)


def hard_sigmoid(x: np.ndarray) -> np.ndarray:
    """A line of slope 1/6 through (0, 1/2), cut at 0 and 1: Keras 3's."""
    return np.clip(x + 3, 0, 6) / x.dtype.type(6)


def hard_sigmoid_keras2(x: np.ndarray) -> np.ndarray:
    """A line of slope 1/5 through (0, 1/2), cut at 0 and 1: Keras 1's and 2's `hard_sigmoid`."""
    return np.clip(x.dtype.type(0.2) * x + x.dtype.type(0.5), 0, 1)


def gelu(x: np.ndarray) -> np.ndarray:
    """``x Φ(x)``, exact; numpy has no erf, so its elements go through Python's."""
    erf = np.array([math.erf(number) for number in (x.astype("float64") / math.sqrt(2)).ravel()])
    return (x * (1 + erf.reshape(x.shape)) / 2).astype(x.dtype)


def hard_shrink(x: np.ndarray) -> np.ndarray:
    """Zero where ``|x| <= 1/2``."""
    return np.where(np.abs(x) > 0.5, x, 0)


def soft_shrink(x: np.ndarray) -> np.ndarray:
    """``x`` moved towards zero by 1/2, not beyond it."""
    return np.where(np.abs(x) > 0.5, x - np.copysign(x.dtype.type(0.5), x), 0)


def sparse_plus(x: np.ndarray) -> np.ndarray:
    """Zero below -1, ``(x + 1)² / 4`` up to 1, then ``x``."""
    return np.where(x >= 1, x, np.square(np.clip(x, -1, 1) + 1) / 4)


ACTIVATIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "celu": elu,
    "elu": elu,
    "exponential": np.exp,
    "gelu": gelu,
    "hard_shrink": hard_shrink,
    "hard_sigmoid": hard_sigmoid,
    "hard_sigmoid_keras2": hard_sigmoid_keras2,
    "hard_silu": lambda x: x * hard_sigmoid(x),
    "hard_tanh": lambda x: np.clip(x, -1, 1),
    "leaky_relu": leaky_relu,
    "linear": lambda x: x,
    "log_sigmoid": lambda x: -softplus(-x),
    "log_softmax": log_softmax,
    "mish": lambda x: x * np.tanh(softplus(x)),
    "relu": lambda x: np.maximum(x, 0),
    "relu6": lambda x: np.clip(x, 0, 6),
    "selu": selu,
    "sigmoid": sigmoid,
    "silu": lambda x: x * sigmoid(x),
    "soft_shrink": soft_shrink,
    "softmax": softmax,
    "softplus": softplus,
    "softsign": lambda x: x / (1 + np.abs(x)),
    "sparse_plus": sparse_plus,
    "sparse_sigmoid": lambda x: np.clip((x + 1) / 2, 0, 1),
    "squareplus": lambda x: (x + np.sqrt(np.square(x) + 4)) / 2,
    "tanh": np.tanh,
    "tanh_shrink": lambda x: x - np.tanh(x),
}
