"""Windows over time, as TensorFlow cuts them."""

from __future__ import annotations

import numpy as np

from biport.errors import InputError


def cut(
    x: np.ndarray, size: int, stride: int, padding: str, dilation: int = 1, fill: float = 0.0
) -> np.ndarray:
    """``(N, T, I)`` to the windows ``(N, T', size, I)``, padded with ``fill``.

    Raises:
        InputError: there are too few steps for one window.
    """
    T, span = x.shape[1], (size - 1) * dilation + 1
    needed = span if padding == "valid" else 1
    if needed > T:
        raise InputError(f"a window of {span} steps needs {needed} or more (T = {T})")
    front, back = 0, 0
    if padding == "causal":
        front = span - 1
    elif padding == "same":
        total = max((-(-T // stride) - 1) * stride + span - T, 0)
        front, back = total // 2, total - total // 2
    padded = np.pad(x, ((0, 0), (front, back), (0, 0)), constant_values=fill)
    starts = np.arange(0, padded.shape[1] - span + 1, stride)
    return padded[:, starts[:, None] + dilation * np.arange(size)]
