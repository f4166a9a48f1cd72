"""The same numbers in another shape, with the batch first and left alone."""

from __future__ import annotations

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
        self.sizes = list(shape)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, ...)`` to ``(N, *shape)``.

        Raises:
            LayerInputError: a row has another number of elements.
        """
        given, known = 1, 1
        for size in x.shape[1:]:
            given = given * size
        for size in self.sizes:
            known = known * (1 if size == -1 else size)
        # Over an empty batch torch cannot tell what -1 is.
        rest = given // known if -1 in self.sizes else 1
        if known * rest != given:
            raise LayerInputError(
                f"rows of shape {list(x.shape[1:])} do not go into {self.sizes}"
            )
        return x.reshape(
            [x.shape[0]] + [rest if size == -1 else size for size in self.sizes]
        )

    def extra_repr(self) -> str:
        """The settings, for ``print``."""
        return f"{self.shape}"
