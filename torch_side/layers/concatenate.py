"""Concatenation as a layer, for models whose merges have names."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Concatenate(nn.Module):
    """Inputs side by side along ``dim``; all other sizes are equal."""

    def __init__(self, dim: int = -1) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, *inputs: Tensor) -> Tensor:
        """One or more tensors of one rank, joined."""
        return torch.cat(inputs, dim=self.dim)

    def extra_repr(self) -> str:
        """The settings, for ``print``."""
        return f"dim={self.dim}"
