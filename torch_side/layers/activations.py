"""Activations torch has no module for, or has with other rules."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from biport.errors import InputError


class ReLU(nn.Module):
    """``x`` above ``threshold``, ``negative_slope (x - threshold)`` elsewhere; then at most ``max_value``."""

    def __init__(
        self, max_value: float | None = None, negative_slope: float = 0.0, threshold: float = 0.0
    ) -> None:
        super().__init__()
        self.max_value = max_value
        self.negative_slope = negative_slope
        self.threshold = threshold

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        above = torch.where(x > self.threshold, x, 0)
        if self.max_value is not None:
            above = above.clamp(max=self.max_value)
        if not self.negative_slope:
            return above
        return above - self.negative_slope * (self.threshold - x).clamp(min=0)

    def extra_repr(self) -> str:
        """The settings, for ``print``."""
        return f"{self.max_value}, negative_slope={self.negative_slope}, threshold={self.threshold}"


class PReLU(nn.Module):
    """``x`` above zero, ``weight x`` below; `torch.nn.PReLU` has one slope a channel, second of the axes.

    Args:
        shape: of the slopes: the input's without N, and 1 along the axes that share a slope.
    """

    def __init__(self, shape: Sequence[int]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full(tuple(shape), 0.25))

    def forward(self, x: Tensor) -> Tensor:
        """``(N, ...)``.

        Raises:
            InputError: the slopes do not go with the input.
        """
        shape = tuple(self.weight.shape)
        if x.dim() != len(shape) + 1 or any(a not in (1, b) for a, b in zip(shape, x.shape[1:], strict=True)):
            raise InputError(f"slopes of shape {shape} do not go with {tuple(x.shape)}")
        return torch.where(x > 0, x, self.weight * x)

    def extra_repr(self) -> str:
        """The settings, for ``print``."""
        return f"{tuple(self.weight.shape)}"


class Softmax(nn.Module):
    """``exp(x)`` over its sum along several axes at once, or over the valid elements under a mask.

    `torch.nn.Softmax` is for one axis without a mask.

    Args:
        dim: one axis or several.
    """

    MASKED = -1e9

    def __init__(self, dim: int | tuple[int, ...] = -1) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Any shape; with a mask of the same shape, zero where that is false.

        Raises:
            InputError: the mask is not boolean or has another shape.
        """
        if not x.numel():
            return x
        if mask is None:
            return self._softmax(x)
        if mask.dtype != torch.bool or mask.shape != x.shape:
            found = f"{mask.dtype} {tuple(mask.shape)}"
            raise InputError(f"the mask should be torch.bool {tuple(x.shape)}, found {found}")
        return self._softmax(x.masked_fill(~mask, self.MASKED)).masked_fill(~mask, 0)

    def _softmax(self, x: Tensor) -> Tensor:
        if isinstance(self.dim, int):
            return torch.softmax(x, self.dim)
        return (x - x.logsumexp(self.dim, keepdim=True)).exp()

    def extra_repr(self) -> str:
        """The settings, for ``print``."""
        return f"dim={self.dim}"
