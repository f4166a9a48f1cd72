"""Activations by their Keras names."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def sigmoid(x: np.ndarray) -> np.ndarray:
    """``1 / (1 + exp(-x))``, by way of tanh, which cannot overflow."""
    half = x.dtype.type(0.5)
    return half * (np.tanh(half * x) + 1)


def softmax(x: np.ndarray) -> np.ndarray:
    """Over the last dimension; shifted so that it cannot overflow."""
    raised = np.exp(x - x.max(axis=-1, keepdims=True))
    return raised / raised.sum(axis=-1, keepdims=True)


ACTIVATIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "linear": lambda x: x,
    "sigmoid": sigmoid,
    "tanh": np.tanh,
    "relu": lambda x: np.maximum(x, 0),
    "softmax": softmax,
}
