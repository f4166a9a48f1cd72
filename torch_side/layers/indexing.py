"""Elements looked up by integers."""

from __future__ import annotations

import torch
from torch import Tensor


def take_along_axis(x: Tensor, indices: Tensor, dim: int) -> Tensor:
    """`torch.take_along_dim` that refuses what is outside of the axis; torch 2.13's gives another element.

    Args:
        x: any shape.
        indices: integers, of the rank of ``x``; the axes beside ``dim`` broadcast. Negative ones count from
            the end.
        dim: along which axis.
    """
    axis = dim % x.dim()
    inside = torch.where(indices < 0, indices + x.shape[axis], indices).long()
    from_sizes, to_sizes = list(x.shape), list(indices.shape)
    for other in range(x.dim()):
        if other != axis:
            size = to_sizes[other] if from_sizes[other] == 1 else from_sizes[other]
            from_sizes[other], to_sizes[other] = size, size
    return x.expand(from_sizes).gather(axis, inside.expand(to_sizes))
