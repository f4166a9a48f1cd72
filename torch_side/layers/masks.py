"""What a mask has to be, and what a recurrent layer puts out at masked steps."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from torch_side.layers.errors import LayerInputError


def check_mask(x: Tensor, mask: Tensor | None) -> None:
    """Refuse a mask that does not go with ``x``, ``(N, T, I)``; ``None`` goes with everything.

    Raises:
        LayerInputError: the mask is not boolean or not ``(N, T)``.
    """
    if mask is None:
        return
    if mask.dtype != torch.bool or mask.shape != x.shape[:2]:
        wanted = tuple(x.shape[:2])
        raise LayerInputError(
            f"the mask should be torch.bool {wanted}, found {mask.dtype} {tuple(mask.shape)}"
        )


def check_states(x: Tensor, states: Sequence[Tensor] | None, sizes: Sequence[int]) -> None:
    """Refuse initial states that do not go with ``x``, ``(N, T, I)``; ``None`` means zeros.

    Raises:
        LayerInputError: there are more or fewer than ``sizes``, or one is not ``(N, H)``.
    """
    if states is None:
        return
    wanted = [(x.shape[0], size) for size in sizes]
    shapes = [tuple(state.shape) for state in states]
    if shapes != wanted:
        raise LayerInputError(f"the states should have the shapes {wanted}, found {shapes}")


def every_step(x: Tensor) -> Tensor:
    """The mask in which every step of ``(N, T, ...)`` is valid, ``(N, T)``."""
    return x.new_ones(x.shape[:2], dtype=torch.bool)


def carry(sequence: Tensor, mask: Tensor) -> Tensor:
    """Carry the last valid output over the masked steps of ``(N, T, H)``, which are zeros.

    Before the first valid step there is nothing to carry: they stay zero.
    """
    step = torch.arange(mask.shape[1], device=mask.device)
    source = torch.where(mask, step, 0).cummax(dim=1).values
    return take_steps(sequence, source)


def take_steps(x: Tensor, steps: Tensor) -> Tensor:
    """The steps of ``x``, ``(N, T, I)``, that each row of ``steps``, ``(N, S)``, names: ``(N, S, I)``."""
    # Whole vectors of one flat table: many times faster than gathering element by element.
    N, T, _ = x.shape
    row = torch.arange(N, device=x.device).unsqueeze(-1)
    return x.flatten(0, 1).index_select(0, (row * T + steps).flatten()).unflatten(0, steps.shape)
