"""Noise and dropout in training, nothing at inference."""

from typing import Any

import torch
from torch import Tensor, nn


class GaussianNoise(nn.Module):
    """Adds normal noise of the deviation ``std`` in training."""

    def __init__(self, std: float) -> None:
        super().__init__()
        self.std = std

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        return x + self.std * torch.randn_like(x) if self.training and self.std else x

    def extra_repr(self) -> str:
        """The settings, for ``print``."""
        return f"std={self.std}"


class GaussianDropout(nn.Module):
    """Multiplies by normal noise of mean 1 and variance ``p / (1 - p)`` in training."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        if not self.training or not self.p:
            return x
        return x * (1 + (self.p / (1 - self.p)) ** 0.5 * torch.randn_like(x))

    def extra_repr(self) -> str:
        """The settings, for ``print``."""
        return f"p={self.p}"


class ActivityRegularization(nn.Module):
    """Keeps, in training, what Keras adds to the loss as ``penalty``: ``l1 Σ|x| + l2 Σx²`` of the batch."""

    penalty: Tensor | None

    def __init__(self, l1: float = 0.0, l2: float = 0.0) -> None:
        super().__init__()
        self.l1 = l1
        self.l2 = l2
        self.penalty = None

    def forward(self, x: Tensor) -> Tensor:
        """Any shape; ``x`` itself."""
        if self.training:
            self.penalty = self.l1 * x.abs().sum() + self.l2 * x.square().sum()
        return x

    def extra_repr(self) -> str:
        """The settings, for ``print``."""
        return f"l1={self.l1}, l2={self.l2}"

    def __getstate__(self) -> dict[str, Any]:
        """A copy, or a pickle, has no part in the last step."""
        return {**self.__dict__, "penalty": None}
