"""A module applied to every step by itself."""

from __future__ import annotations

from torch import Tensor, nn


class TimeDistributed(nn.Module):
    """``layer`` over every step of ``(N, T, ...)``, as if N·T rows were given to it.

    Args:
        layer: a module of one input and one output.
    """

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        """``(N, T, ...)`` to ``(N, T, ...)``."""
        return self.layer(x.flatten(0, 1)).unflatten(0, x.shape[:2])
