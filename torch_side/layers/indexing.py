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
    others = [
        (*tensor.shape[:axis], 1, *tensor.shape[axis + 1 :]) for tensor in (x, indices)
    ]
    shape = torch.broadcast_shapes(*others)

    def stretched(tensor: Tensor) -> Tensor:
        return tensor.expand(*shape[:axis], tensor.shape[axis], *shape[axis + 1 :])

    inside = torch.where(indices < 0, indices + x.shape[axis], indices)
    return stretched(x).gather(axis, stretched(inside.long()))
