"""Reductions that torch has none for, or one with another rule."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor


def variance(
    x: Tensor, dim: Sequence[int], correction: float = 0, keepdim: bool = False
) -> Tensor:
    """`torch.var` that is NaN over too few elements without a warning; torch 2.13 warns of no rows, too.

    Args:
        x: any shape.
        dim: the axes.
        correction: the sum of squares is divided by the number of elements less this.
        keepdim: whether the axes stay, of size 1.
    """
    axes = tuple(dim)
    squares = (x - x.mean(axes, keepdim=True)).square()
    count = math.prod(x.shape[axis] for axis in axes)
    return squares.sum(axes, keepdim=keepdim) / max(count - correction, 0)
