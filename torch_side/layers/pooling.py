"""Pooling over time with Keras' rules for masks."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from torch_side.layers.masks import check_mask
from torch_side.layers.windows import pad


class GlobalAveragePooling1D(nn.Module):
    """The mean over the valid steps; NaN for a row without any, as in Keras.

    Args:
        keepdims: give ``(N, 1, I)``.
    """

    def __init__(self, keepdims: bool = False) -> None:
        super().__init__()
        self.keepdims = keepdims

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """``(N, T, I)`` and an optional ``(N, T)`` boolean mask to ``(N, I)``.

        Raises:
            LayerInputError: the mask is not boolean or has another shape.
        """
        if mask is None:
            return x.mean(dim=1, keepdim=self.keepdims)
        check_mask(x, mask)
        valid = mask.unsqueeze(-1)
        # The padding may hold anything, NaN included, so it is replaced, not multiplied by zero.
        total = x.masked_fill(~valid, 0).sum(dim=1, keepdim=self.keepdims)
        return total / valid.sum(dim=1, keepdim=self.keepdims).to(x.dtype)


class MaxPooling1D(nn.MaxPool1d):
    """`torch.nn.MaxPool1d` with Keras' padding ``"same"``: ⌈T / stride⌉ windows, whatever T is."""

    def __init__(self, kernel_size: int, stride: int | None = None) -> None:
        step = kernel_size if stride is None else stride
        super().__init__(kernel_size, step)
        self.window = kernel_size
        self.step = step

    def forward(self, input: Tensor) -> Tensor:
        """``(N, I, T)`` to ``(N, I, T')``."""
        x = pad(input, self.window, self.step, "same", -float("inf"))
        return functional.max_pool1d(x, self.window, self.step)


class AveragePooling1D(nn.AvgPool1d):
    """`torch.nn.AvgPool1d` with Keras' padding ``"same"``: ⌈T / stride⌉ windows; padding is not counted."""

    def __init__(self, kernel_size: int, stride: int | None = None) -> None:
        step = kernel_size if stride is None else stride
        super().__init__(kernel_size, step)
        self.window = kernel_size
        self.step = step

    def forward(self, input: Tensor) -> Tensor:
        """``(N, I, T)`` to ``(N, I, T')``."""
        counted = torch.ones_like(input[:1, :1])
        total = functional.avg_pool1d(
            pad(input, self.window, self.step, "same"), self.window, self.step
        )
        return total / functional.avg_pool1d(
            pad(counted, self.window, self.step, "same"), self.window, self.step
        )
