"""Ids that come as floats."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from torch_side.layers.errors import LayerInputError


def is_compiling() -> bool:
    """Whether `torch.compile` or `torch.export` is at work; TorchScript looks at numbers."""
    scripting = torch.jit.is_scripting()  # pyright: ignore[reportPrivateImportUsage]
    return False if scripting else torch.compiler.is_compiling()


class ToIds(nn.Module):
    """Floats that are whole numbers to integers."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape; int32 of that shape.

        Raises:
            LayerInputError: there are other numbers.
        """
        # What is compiled or exported does not look at its numbers.
        if not is_compiling() and not torch.equal(x, x.trunc()):
            raise LayerInputError("ids should be whole numbers")
        return x.to(torch.int32)
