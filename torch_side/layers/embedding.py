"""Ids that come as floats."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from torch_side.layers.errors import LayerInputError


class ToIds(nn.Module):
    """Floats that are whole numbers to integers."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape; int32 of that shape.

        Raises:
            LayerInputError: there are other numbers.
        """
        if not torch.equal(x, x.trunc()):
            raise LayerInputError("ids should be whole numbers")
        return x.to(torch.int32)
