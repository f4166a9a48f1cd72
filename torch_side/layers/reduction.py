"""Reductions that torch has none for, or one with another rule."""

from __future__ import annotations

from torch import Tensor


def variance(
    x: Tensor, dim: list[int], correction: float = 0.0, keepdim: bool = False
) -> Tensor:
    """`torch.var` that is NaN over too few elements without a warning; torch 2.13 warns of no rows, too.

    Args:
        x: any shape.
        dim: the axes.
        correction: the sum of squares is divided by the number of elements less this.
        keepdim: whether the axes stay, of size 1.
    """
    squares = (x - x.mean(dim, keepdim=True)).square()
    count = 1
    for axis in dim:
        count = count * x.shape[axis]
    return squares.sum(dim, keepdim=keepdim) / max(count - correction, 0.0)
