"""Pooling over time with Keras' rules for masks."""

from __future__ import annotations

from torch import Tensor, nn

from biport.errors import InputError
from torch_side.layers.masks import check_mask


class GlobalMaxPooling1D(nn.Module):
    """The largest value over time; padded steps count, as in Keras."""

    def forward(self, x: Tensor) -> Tensor:
        """``(N, T, I)`` to ``(N, I)``.

        Raises:
            InputError: T = 0.
        """
        if x.shape[1] == 0:
            raise InputError("the maximum over no time steps (T = 0) is not defined")
        return x.amax(dim=1)


class GlobalAveragePooling1D(nn.Module):
    """The mean over the valid steps; NaN for a row without any, as in Keras."""

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """``(N, T, I)`` and an optional ``(N, T)`` boolean mask to ``(N, I)``.

        Raises:
            InputError: the mask is not boolean or has another shape.
        """
        if mask is None:
            return x.mean(dim=1)
        check_mask(x, mask)
        valid = mask.unsqueeze(-1)
        # The padding may hold anything, NaN included, so it is replaced, not multiplied by zero.
        return x.masked_fill(~valid, 0).sum(dim=1) / valid.sum(dim=1).to(x.dtype)
