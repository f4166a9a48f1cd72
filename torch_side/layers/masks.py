"""What a mask has to be, and sequences whose valid steps come first.

The rules of masks are those of Keras 3.15 (``keras/src/layers/rnn``); `biport.reference.recurrent` spells
them out.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from torch_side.layers.errors import LayerInputError


def check_mask(x: Tensor, mask: Tensor) -> None:
    """Refuse a mask that does not go with ``x``, ``(N, T, ...)``.

    Raises:
        LayerInputError: the mask is not boolean or not ``(N, T)``.
    """
    if mask.dtype != torch.bool or mask.shape != x.shape[:2]:
        raise LayerInputError(
            f"the mask should be torch.bool {list(x.shape[:2])}, found {mask.dtype} {list(mask.shape)}"
        )


def lowest(x: Tensor, number: float) -> float:
    """``number``, which is far below zero, or the lowest that ``x`` can hold."""
    return max(number, -65504.0) if x.dtype == torch.float16 else number


def every_step(x: Tensor) -> Tensor:
    """The mask in which every step of ``(N, T, ...)`` is valid, ``(N, T)``."""
    return torch.ones(x.shape[:2], dtype=torch.bool, device=x.device)


def take_steps(x: Tensor, steps: Tensor) -> Tensor:
    """The steps of ``x``, ``(N, T, I)``, that each row of ``steps``, ``(N, S)``, names: ``(N, S, I)``."""
    # Whole vectors of one flat table: many times faster than gathering element by element. How many steps
    # there are is counted, since torch.export takes a size behind an LSTM for a constant.
    lengths = torch.ones_like(x[:, :, 0], dtype=torch.int64).sum(dim=1, keepdim=True)
    first = lengths.cumsum(dim=0) - lengths
    return functional.embedding(first + steps, x.reshape(-1, x.shape[2]))


def valid_first(x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """The valid steps of each row of ``(N, T, I)`` in front, zeros behind; and where these are."""
    steps = torch.ones_like(mask, dtype=torch.int64).cumsum(dim=1) - 1
    count = mask.sum(dim=1, keepdim=True)
    behind = steps >= count
    # Where each step goes, turned into where each comes from; ONNX has no stable sort.
    to = torch.where(mask, mask.cumsum(dim=1), count + (~mask).cumsum(dim=1)) - 1
    order = torch.zeros_like(to).scatter(1, to, steps)
    # Zeros instead of whatever the padding holds: NaN would reach the gradients of the weights.
    return take_steps(x, order).masked_fill(behind.unsqueeze(-1), 0.0), behind


def back_in_place(y: Tensor, mask: Tensor, zero_output_for_mask: bool) -> Tensor:
    """Undo `valid_first`: at a masked step stands the previous output, or zero; zero before the first."""
    valid_so_far = mask.cumsum(dim=1)
    y = take_steps(y, (valid_so_far - 1).clamp(min=0))
    zero = ~mask if zero_output_for_mask else valid_so_far == 0
    return y.masked_fill(zero.unsqueeze(-1), 0.0)


def last_valid(y: Tensor, mask: Tensor, initial: Tensor) -> Tensor:
    """The last valid step in front of ``(N, T, H)``; ``initial``, ``(N, H)``, of a row without any."""
    count = mask.sum(dim=1, keepdim=True)
    last = (count - 1).clamp(min=0).unsqueeze(-1).expand(-1, -1, y.shape[2])
    return torch.where(count == 0, initial, y.gather(1, last).squeeze(1))
