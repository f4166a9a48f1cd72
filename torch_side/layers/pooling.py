"""Pooling over time with Keras' rules for masks."""

from __future__ import annotations

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
        total, count = (
            part.sum(dim=1, keepdim=self.keepdims)
            for part in (x.masked_fill(~valid, 0), valid)
        )
        return total / count.to(x.dtype)


def single(size: int | tuple[int, ...]) -> int:
    """A size that torch keeps as a number or as a tuple of one."""
    return size if isinstance(size, int) else size[0]


class MaxPooling1D(nn.MaxPool1d):
    """`torch.nn.MaxPool1d` with Keras' padding ``"same"``: ⌈T / stride⌉ windows, whatever T is."""

    def forward(self, input: Tensor) -> Tensor:
        """``(N, I, T)`` to ``(N, I, T')``."""
        size, stride = single(self.kernel_size), single(self.stride)
        return functional.max_pool1d(
            pad(input, size, stride, "same", -float("inf")), size, stride
        )


class AveragePooling1D(nn.AvgPool1d):
    """`torch.nn.AvgPool1d` with Keras' padding ``"same"``: ⌈T / stride⌉ windows; padding is not counted."""

    def forward(self, input: Tensor) -> Tensor:
        """``(N, I, T)`` to ``(N, I, T')``."""
        size, stride = single(self.kernel_size), single(self.stride)
        steps = input.new_ones(1, 1, input.shape[-1])
        total, share = (
            functional.avg_pool1d(pad(part, size, stride, "same"), size, stride)
            for part in (input, steps)
        )
        return total / share
