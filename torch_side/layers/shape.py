"""The same numbers in another shape, with the batch first and left alone."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor, nn

from torch_side.layers.errors import LayerInputError


class Reshape(nn.Module):
    """``(N, ...)`` to ``(N, *shape)``, empty batches too.

    Args:
        shape: sizes; one may be -1, which is whatever is left.
    """

    def __init__(self, shape: Sequence[int]) -> None:
        super().__init__()
        self.shape = tuple(shape)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, ...)`` to ``(N, *shape)``.

        Raises:
            LayerInputError: a row has another number of elements.
        """
        known = math.prod(size for size in self.shape if size != -1)
        left, rest = divmod(math.prod(x.shape[1:]), known)
        if rest or (-1 not in self.shape and left != 1):
            raise LayerInputError(
                f"rows of shape {tuple(x.shape[1:])} do not go into {self.shape}"
            )
        # Over an empty batch torch cannot tell what -1 is.
        return x.reshape(
            x.shape[0], *(left if size == -1 else size for size in self.shape)
        )

    def extra_repr(self) -> str:
        """The settings, for ``print``."""
        return f"{self.shape}"
