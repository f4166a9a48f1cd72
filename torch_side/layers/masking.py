"""Zeros where a step's features are all one number."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Masking(nn.Module):
    """``x`` with zeros where all its features are ``value``; the mask itself is ``(x != value).any(-1)``."""

    def __init__(self, value: float = 0.0) -> None:
        super().__init__()
        self.value = value

    def forward(self, x: Tensor) -> Tensor:
        """``(..., I)``."""
        return torch.where((x != self.value).any(dim=-1, keepdim=True), x, 0)

    def extra_repr(self) -> str:
        """The settings, for ``print``."""
        return f"{self.value}"
