"""Merges: by name, with results that depend on masks as in Keras, with a weight; and Keras' dot product."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce

import torch
from torch import Tensor, nn

from torch_side.layers.masks import check_mask


def _wide(x: Tensor, mask: Tensor | None) -> Tensor | None:
    """A mask ``(N, T)`` as wide as ``x``, ``(N, T, ...)``."""
    if mask is None:
        return None
    check_mask(x, mask)
    return mask.reshape(*mask.shape, *(1 for _ in x.shape[2:])).expand_as(x)


class Concatenate(nn.Module):
    """Inputs side by side along ``dim``; all other sizes are equal."""

    def __init__(self, dim: int = -1) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, *inputs: Tensor) -> Tensor:
        """One or more tensors of one rank, joined."""
        return torch.cat(inputs, dim=self.dim)

    def extra_repr(self) -> str:
        """The settings, for ``print``."""
        return f"dim={self.dim}"


class Multiply(nn.Module):
    """The product of the inputs; an input counts as 1 at its masked steps.

    Where all inputs have masks and all of them are false, the product is 0.
    """

    def forward(self, *inputs: Tensor, masks: Sequence[Tensor | None]) -> Tensor:
        """Two or more tensors of one rank and an ``(N, T)`` boolean mask, or ``None``, for each.

        Raises:
            LayerInputError: a mask is not boolean or has another shape.
        """
        wide = [_wide(x, mask) for x, mask in zip(inputs, masks, strict=True)]
        factors = [
            x if mask is None else x.masked_fill(~mask, 1)
            for x, mask in zip(inputs, wide, strict=True)
        ]
        product = reduce(torch.mul, factors)
        given = [mask for mask in wide if mask is not None]
        if len(given) < len(inputs):
            return product
        return product.masked_fill(~reduce(torch.logical_or, given), 0)


class _Extreme(nn.Module):
    choose: Callable[[Tensor, Tensor], Tensor]

    def forward(self, *inputs: Tensor, masks: Sequence[Tensor | None]) -> Tensor:
        """Two or more tensors of one rank and an ``(N, T)`` boolean mask, or ``None``, for each.

        Raises:
            LayerInputError: a mask is not boolean or has another shape.
        """
        so_far, valid = inputs[0], _wide(inputs[0], masks[0])
        for x, mask in zip(inputs[1:], masks[1:], strict=True):
            here = _wide(x, mask)
            x = x if here is None else torch.where(here, x, so_far)
            so_far = so_far if valid is None else torch.where(valid, so_far, x)
            valid = None if valid is None or here is None else valid | here
            so_far = type(self).choose(so_far, x)
        return so_far


class Maximum(_Extreme):
    """The largest of the inputs, element by element; masked steps are left out as Keras leaves them out.

    `biport.ops.Maximum` has the rule.
    """

    choose = staticmethod(torch.maximum)


class Minimum(_Extreme):
    """The smallest of the inputs, element by element; see `Maximum`."""

    choose = staticmethod(torch.minimum)


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
            one, two = _unit(one), _unit(two)
        left, right = one.shape[1:-1], two.shape[1:-1]
        products = one.reshape(len(one), left.numel(), one.shape[-1]) @ two.reshape(
            len(two), right.numel(), two.shape[-1]
        ).transpose(1, 2)
        return products.reshape(len(products), *(left + right or (1,)))

    def extra_repr(self) -> str:
        """The settings, for ``print``."""
        return f"axes={self.axes}" + (", normalize=True" if self.normalize else "")


def _unit(x: Tensor) -> Tensor:
    # 1e-7 is Keras' epsilon, which it guards the square root with.
    return x / torch.linalg.vector_norm(x, dim=-1, keepdim=True).clamp(min=1e-7)
