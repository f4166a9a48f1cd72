"""Merges: by name, with results that depend on masks as in Keras, with a weight; and Keras' dot product."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from torch_side.layers.masks import check_mask


def as_wide(x: Tensor, mask: Tensor) -> Tensor:
    """A mask ``(N, T)`` as wide as ``x``, ``(N, T, ...)``.

    Raises:
        LayerInputError: the mask is not boolean or has another shape.
    """
    check_mask(x, mask)
    for _ in range(2, x.dim()):
        mask = mask.unsqueeze(-1)
    return mask.expand_as(x)


class Concatenate(nn.Module):
    """Inputs side by side along ``dim``; all other sizes are equal."""

    def __init__(self, dim: int = -1) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, inputs: list[Tensor]) -> Tensor:
        """One or more tensors of one rank, joined."""
        return torch.cat(inputs, dim=self.dim)

    def extra_repr(self) -> str:
        """The settings, for ``print``."""
        return f"dim={self.dim}"


class Multiply(nn.Module):
    """The product of the inputs; an input counts as 1 at its masked steps.

    Where the masks of all are false, the product is 0.
    """

    def forward(self, inputs: list[Tensor], masks: list[Tensor]) -> Tensor:
        """Two or more tensors of one rank and an ``(N, T)`` boolean mask for each.

        Raises:
            LayerInputError: a mask is not boolean or has another shape.
        """
        valid = as_wide(inputs[0], masks[0])
        product = inputs[0].masked_fill(~valid, 1)
        for x, mask in zip(inputs[1:], masks[1:]):  # noqa: B905  (TorchScript knows no strict)
            here = as_wide(x, mask)
            product, valid = product * x.masked_fill(~here, 1), valid | here
        return product.masked_fill(~valid, 0)


def extreme(inputs: list[Tensor], masks: list[Tensor], largest: bool) -> Tensor:
    """The largest of the inputs, or the smallest, with steps left out as `Maximum` says.

    Raises:
        LayerInputError: a mask is not boolean or has another shape.
    """
    chosen, valid = inputs[0], as_wide(inputs[0], masks[0])
    for x, mask in zip(inputs[1:], masks[1:]):  # noqa: B905  (TorchScript knows no strict)
        here = as_wide(x, mask)
        x = torch.where(here, x, chosen)
        chosen = torch.where(valid, chosen, x)
        chosen = torch.maximum(chosen, x) if largest else torch.minimum(chosen, x)
        valid = valid | here
    return chosen


class Maximum(nn.Module):
    """The largest of the inputs, element by element; masked steps are left out as Keras leaves them out.

    `biport.ops.Maximum` has the rule.
    """

    def forward(self, inputs: list[Tensor], masks: list[Tensor]) -> Tensor:
        """Two or more tensors of one rank and an ``(N, T)`` boolean mask for each.

        Raises:
            LayerInputError: a mask is not boolean or has another shape.
        """
        return extreme(inputs, masks, True)


class Minimum(nn.Module):
    """The smallest of the inputs, element by element; see `Maximum`."""

    def forward(self, inputs: list[Tensor], masks: list[Tensor]) -> Tensor:
        """Two or more tensors of one rank and an ``(N, T)`` boolean mask for each.

        Raises:
            LayerInputError: a mask is not boolean or has another shape.
        """
        return extreme(inputs, masks, False)


class LearnedAverage(nn.Module):
    """``w a + (1 - w) b`` with ``w = σ(weight)``.

    Args:
        size: H, for a share of each unit's own; ``None`` for one share.
    """

    def __init__(self, size: int | None = None) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(() if size is None else size))

    def forward(self, one: Tensor, two: Tensor) -> Tensor:
        """Two tensors of one shape, ``(N, T, H)`` or ``(N, H)``."""
        share = torch.sigmoid(self.weight)
        return share * one + (1 - share) * two

    def extra_repr(self) -> str:
        """The settings, for ``print``."""
        return f"{len(self.weight)}" if self.weight.dim() else ""


class Dot(nn.Module):
    """Sums of products along one axis of each of two inputs, row by row of the batch.

    Args:
        axes: the axis of either input, which is not the batch.
        normalize: divide both by their lengths first, as in cosine similarity.
    """

    def __init__(self, axes: Sequence[int], normalize: bool = False) -> None:
        super().__init__()
        self.axes = (axes[0], axes[1])
        self.normalize = normalize

    def forward(self, one: Tensor, two: Tensor) -> Tensor:
        """``(N, ...)`` and ``(N, ...)`` to what is left of both; two vectors a row to ``(N, 1)``."""
        one, two = one.movedim(self.axes[0], -1), two.movedim(self.axes[1], -1)
        if self.normalize:
            one, two = unit(one), unit(two)
        sizes = list(one.shape[:-1]) + list(two.shape[1:-1])
        products = rows(one) @ rows(two).transpose(1, 2)
        return products.reshape(sizes if len(sizes) > 1 else [one.shape[0], 1])

    def extra_repr(self) -> str:
        """The settings, for ``print``."""
        return f"axes={self.axes}" + (", normalize=True" if self.normalize else "")


def rows(x: Tensor) -> Tensor:
    """``(N, ..., I)`` as ``(N, R, I)``, of all that is in between."""
    return x.unsqueeze(1).flatten(1, -2)


def unit(x: Tensor) -> Tensor:
    """``x`` by its length along the last axis."""
    # 1e-7 is Keras' epsilon, which it guards the square root with.
    return x / torch.linalg.vector_norm(x, dim=-1, keepdim=True).clamp(min=1e-7)
