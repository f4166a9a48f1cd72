"""Dropout of whole features over time."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional


def drop_features(x: Tensor, rate: float, training: bool) -> Tensor:
    """Zero a share ``rate`` of the features of ``x``, ``(N, T, I)``, the same ones at every step.

    The rest is scaled up by ``1 / (1 - rate)``; outside of training ``x`` itself is returned.
    """
    if not training or rate == 0:
        return x
    return x * functional.dropout(x.new_ones(x.shape[0], 1, x.shape[2]), rate)


class SpatialDropout1D(nn.Module):
    """Drops whole features of ``(N, T, I)`` in training, the same at every step of a row.

    `torch.nn.Dropout1d` does this for ``(N, I, T)``.

    Args:
        p: the share to drop; Keras ``rate``.
    """

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """``(N, T, I)`` to ``(N, T, I)``."""
        return drop_features(x, self.p, self.training)

    def extra_repr(self) -> str:
        """The settings, for ``print``."""
        return f"p={self.p}"
