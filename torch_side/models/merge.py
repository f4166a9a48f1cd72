"""Both directions of a bidirectional layer in one."""

from __future__ import annotations

import torch
from torch import Tensor


def merge(forward: Tensor, backward: Tensor, mode: str) -> Tensor:
    """The outputs of both directions, ``(..., H)`` each, by one of Keras' merge modes.

    Args:
        forward: of the forward direction.
        backward: of the backward direction.
        mode: ``"concat"``, ``"sum"``, ``"mul"`` or ``"ave"``, the mean.
    """
    match mode:
        case "concat":
            return torch.cat([forward, backward], dim=-1)
        case "sum":
            return forward + backward
        case "mul":
            return forward * backward
        case _:
            return (forward + backward) / 2
