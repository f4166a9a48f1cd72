"""Windows over the axes between batch and features, as TensorFlow cuts them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from biport.errors import InputError
from biport.ops.windows import AXES, Padding, axis_padding, extent


def padded(
    x: np.ndarray, spans: Sequence[int], strides: Sequence[int], padding: Padding, fill: float = 0.0
) -> np.ndarray:
    """``(N, *T, I)`` with ``fill`` around it, so that all windows lie within.

    Raises:
        InputError: there are too few steps for one window.
    """
    axes = enumerate(zip(AXES[x.ndim - 2], x.shape[1:-1], spans, strides, strict=True))
    widths = [_widths(*along, axis_padding(padding, at)) for at, along in axes]
    return np.pad(x, ((0, 0), *widths, (0, 0)), constant_values=fill)


def _widths(axis: str, steps: int, span: int, stride: int, padding: str | tuple[int, int]) -> tuple[int, int]:
    if isinstance(padding, tuple):
        needed, widths = max(span - sum(padding), 1), padding
    elif padding == "valid":
        needed, widths = span, (0, 0)
    elif padding == "causal":
        needed, widths = 1, (span - 1, 0)
    else:
        total = max((-(-steps // stride) - 1) * stride + span - steps, 0)
        needed, widths = 1, (total // 2, total - total // 2)
    if needed > steps:
        raise InputError(f"a window of {span} needs {extent(axis, needed)} or more, found {steps}")
    return widths


def positions(
    x: np.ndarray, kernel_size: Sequence[int], strides: Sequence[int], dilation: Sequence[int]
) -> Iterator[tuple[tuple[int, ...], np.ndarray]]:
    """Each position in a window, and what all windows over ``(N, *T, I)`` have there, ``(N, *T', I)``."""
    axes = list(zip(x.shape[1:-1], kernel_size, strides, dilation, strict=True))
    counts = [(T - (size - 1) * dilation - 1) // stride + 1 for T, size, stride, dilation in axes]
    for position in np.ndindex(*kernel_size):
        starts = [number * dilation for number, (*_, dilation) in zip(position, axes, strict=True)]
        cut = [
            slice(start, start + (count - 1) * stride + 1, stride)
            for start, count, stride in zip(starts, counts, strides, strict=True)
        ]
        yield position, x[(slice(None), *cut)]
