"""Kernels of convolutions: their axes come first in Keras, ``(*K, I / G, O)``, and last in the graph."""

from __future__ import annotations

import numpy as np


def from_kernel(kernel: np.ndarray) -> np.ndarray:
    """``(*K, A, B)`` as ``(B, A, *K)``."""
    return np.moveaxis(kernel, (-1, -2), (0, 1))


def to_kernel(weight: np.ndarray) -> np.ndarray:
    """``(B, A, *K)`` as ``(*K, A, B)``."""
    return np.moveaxis(weight, (0, 1), (-1, -2))


def from_depthwise(kernel: np.ndarray) -> np.ndarray:
    """``(*K, I, M)`` as ``(I · M, 1, *K)``: the M numbers made of one feature stand side by side."""
    moved = np.moveaxis(kernel, (-2, -1), (0, 1))
    return moved.reshape(-1, 1, *moved.shape[2:])


def to_depthwise(weight: np.ndarray, input_size: int) -> np.ndarray:
    """``(I · M, 1, *K)`` as ``(*K, I, M)``."""
    split = weight.reshape(input_size, -1, *weight.shape[2:])
    return np.moveaxis(split, (0, 1), (-2, -1))
