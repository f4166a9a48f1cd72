"""An embedding that says in plain words which ids it cannot take."""

from __future__ import annotations

from typing import Any

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


class Embedding(nn.Embedding):
    """`torch.nn.Embedding` with clear errors, and Keras' flag ``mask_zero``.

    Args:
        num_embeddings: V.
        embedding_dim: O.
        mask_zero: id 0 is padding. It changes nothing here: the mask, ``ids != 0``, is made by the model.
        settings: the other settings of `torch.nn.Embedding`.
    """

    def __init__(
        self, num_embeddings: int, embedding_dim: int, *, mask_zero: bool = False, **settings: Any
    ) -> None:
        super().__init__(num_embeddings, embedding_dim, **settings)
        self.mask_zero = mask_zero

    def forward(self, input: Tensor) -> Tensor:
        """``(N, T)`` ids in ``[0, V)`` to ``(N, T, O)``.

        Raises:
            LayerInputError: an id is negative or not below V, or the ids are not int32 or int64.
        """
        # On a GPU a bad id ends the whole process' context, so there it is looked for beforehand.
        if input.is_cuda:
            self._check(input)
        try:
            return super().forward(input)
        except (IndexError, RuntimeError) as error:
            self._check(input, error)
            raise

    def _check(self, ids: Tensor, error: Exception | None = None) -> None:
        if ids.dtype not in (torch.int32, torch.int64):
            raise LayerInputError(f"ids should be int32 or int64, found {ids.dtype}") from error
        if ids.numel() == 0:
            return
        low, high = (int(bound) for bound in ids.aminmax())
        if low < 0 or high >= self.num_embeddings:
            raise LayerInputError(
                f"ids should be in [0, {self.num_embeddings}), found {low} to {high}"
            ) from error

    def extra_repr(self) -> str:
        """The settings, for ``print``."""
        return super().extra_repr() + (", mask_zero=True" if self.mask_zero else "")
