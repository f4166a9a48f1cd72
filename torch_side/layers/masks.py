"""What a mask has to be, and sequences of the valid steps alone.

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


def lengths_of(mask: Tensor) -> list[int]:
    """How many valid steps each row of ``(N, T)`` has; an empty list if there is none, or none may look.

    What is done may depend on numbers on a CPU, where nothing is recorded to be done again.
    """
    recorded = torch.compiler.is_compiling() or torch.jit.is_tracing()  # pyright: ignore[reportPrivateImportUsage]
    # Under torch.func tensors have no memory, where packed sequences have their sizes.
    transformed = torch._C._functorch.peek_interpreter_stack() is not None  # pyright: ignore[reportAttributeAccessIssue]
    if recorded or transformed or type(mask) is not Tensor or mask.device.type != "cpu":
        return []
    lengths: list[int] = mask.sum(dim=1).tolist()
    return lengths if any(lengths) else []


def count_steps(x: Tensor) -> Tensor:
    """0, 1, 2, ... along the steps of each row of ``(N, T)``, whatever is in it."""
    return torch.ones_like(x, dtype=torch.int64).cumsum(dim=1) - 1


def first_steps(x: Tensor) -> Tensor:
    """Where each row of ``(N, T, I)`` begins among the steps of all, ``(N, 1)``."""
    # How many steps there are is counted, since torch.export takes a size behind an LSTM for a constant.
    lengths = torch.ones_like(x[:, :, 0], dtype=torch.int64).sum(dim=1, keepdim=True)
    return lengths.cumsum(dim=0) - lengths


def take_steps(x: Tensor, steps: Tensor) -> Tensor:
    """The steps of ``x``, ``(N, T, I)``, that each row of ``steps``, ``(N, S)``, names: ``(N, S, I)``."""
    # Whole vectors of one flat table: many times faster than gathering element by element.
    return functional.embedding(first_steps(x) + steps, x.reshape(-1, x.shape[2]))


def valid_first(mask: Tensor, longest: int | None) -> tuple[Tensor, Tensor]:
    """Each row's valid steps in front, by their numbers, and what lies behind them, ``(N, T)`` each.

    Args:
        mask: which steps are valid, ``(N, T)``.
        longest: how many columns are wanted, where no row has more valid steps; by default all.
    """
    steps, so_far = count_steps(mask), mask.cumsum(dim=1)
    count = mask.sum(dim=1, keepdim=True)
    # Where each step goes, turned into where each comes from; ONNX has no stable sort.
    to = torch.where(mask, so_far - 1, count + steps - so_far)
    order = torch.zeros_like(to).scatter(1, to, steps)
    behind = steps >= count
    if longest is not None:
        order, behind = order[:, :longest], behind[:, :longest]
    return order, behind


def last_first(order: Tensor, mask: Tensor) -> Tensor:
    """The order of `valid_first` with the valid steps of each row reversed."""
    last = mask.sum(dim=1, keepdim=True) - 1
    return order.gather(1, (last - count_steps(order)).clamp(min=0))


def back_in_place(y: Tensor, mask: Tensor, reverse: bool, zero: bool) -> Tensor:
    """The outputs for valid steps that came first, ``(N, S, H)``, each at its own step, ``(N, T, H)``.

    Args:
        y: the outputs.
        mask: which steps are valid, ``(N, T)``.
        reverse: whether the last step was the first.
        zero: whether there are zeros at a masked step, or the previous output; zeros before the first.
    """
    so_far = mask.cumsum(dim=1)
    if reverse:
        so_far = mask.sum(dim=1, keepdim=True) - so_far + mask.to(so_far.dtype)
    y = take_steps(y, (so_far - 1).clamp(min=0))
    empty = ~mask if zero else so_far == 0
    return y.masked_fill_(empty.unsqueeze(-1), 0.0)


def last_valid(y: Tensor, mask: Tensor, initial: Tensor) -> Tensor:
    """The last valid step in front of ``(N, T, H)``; ``initial``, ``(N, H)``, of a row without any."""
    count = mask.sum(dim=1, keepdim=True)
    last = (count - 1).clamp(min=0).unsqueeze(-1).expand(-1, -1, y.shape[2])
    return torch.where(count == 0, initial, y.gather(1, last).squeeze(1))


def packed_order(mask: Tensor, longest: int) -> tuple[Tensor, Tensor, Tensor]:
    """How the valid steps are packed: all rows' first ones, all second ones, and so on, long rows first.

    Args:
        mask: which steps are valid, ``(N, T)``.
        longest: how many of them the longest row has.

    Returns:
        where each is among all ``N·T`` steps; how many rows have a first, a second one and so on, on the
        CPU; and all rows, the longest first.
    """
    lengths = mask.sum(dim=1)
    ordered, rows = lengths.sort(descending=True)
    steps = torch.arange(longest, device=mask.device).unsqueeze(1)
    valid = steps < ordered
    first = (lengths.cumsum(dim=0) - lengths).index_select(0, rows)
    order = (first + steps).masked_select(valid)
    every = mask.flatten().nonzero().squeeze(1)
    return every.index_select(0, order), valid.sum(dim=1), rows


def repeat_valid(y: Tensor, mask: Tensor) -> Tensor:
    """At a masked step of ``(N, T, H)`` the valid one before it, or the first step where there is none."""
    return take_steps(y, (count_steps(mask) * mask).cummax(dim=1).values)
