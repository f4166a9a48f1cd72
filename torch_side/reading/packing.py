"""Packed sequences, while a module is traced: the padded tensor, ``(N, T, ...)``, beside its rows' lengths.

A `PackedSequence` has them as ``data`` and ``batch_sizes``. The longest row is taken to be as long as the
tensor.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor
from torch._subclasses.functional_tensor import FunctionalTensor
from torch.nn.utils import rnn
from torch.nn.utils.rnn import PackedSequence

from torch_side.reading.layer_session import LayerSession


def packing(session: LayerSession) -> dict[str, Callable]:
    """What packs and pads meanwhile."""

    def pack(input: Tensor, lengths: Any, batch_first: bool = False, enforce_sorted: bool = True) -> Any:
        x = input if batch_first else input.transpose(0, 1)
        if isinstance(lengths, RowLengths):
            rows = lengths.tensor
        elif isinstance(lengths, list | tuple) and any(isinstance(one, Tensor) for one in lengths):
            rows = torch.stack([torch.as_tensor(one) for one in lengths])
        else:
            rows = torch.as_tensor(lengths)
        if not isinstance(lengths, Tensor | RowLengths) and all(isinstance(one, int) for one in lengths):
            # Known numbers: the longest row is as long as they say.
            x = x[:, : max(lengths)]
        return PackedSequence(x, rows.to(torch.int64))

    def pad(
        sequence: PackedSequence,
        batch_first: bool = False,
        padding_value: float = 0.0,
        total_length: int | None = None,
    ) -> tuple[Tensor, Tensor]:
        x, lengths = sequence.data, sequence.batch_sizes
        if padding_value != 0 or not session.is_zero_behind_the_end(x):
            steps = torch.arange(x.shape[1], device=x.device)
            valid = steps.unsqueeze(0) < lengths.to(x.device).unsqueeze(1)
            wide = valid.reshape(*valid.shape, *[1] * (x.dim() - 2))
            x = x.masked_fill(~wide, padding_value)
        if total_length is not None and bool(total_length != x.shape[1]):
            behind = [0, 0] * (x.dim() - 2) + [0, total_length - x.shape[1]]
            x = nn.functional.pad(x, behind, value=padding_value)
        return (x if batch_first else x.transpose(0, 1)), lengths

    return {"pack_padded_sequence": pack, "pad_packed_sequence": pad}


class RowLengths(list):
    """The lengths of rows as a list, while a module is traced: of its numbers only the largest is known."""

    def __init__(self, tensor: Tensor) -> None:
        super().__init__([tensor.max()])
        self.tensor = tensor


def lengths_as_they_are(kind: type[Tensor], name: str) -> Callable:
    """In place of ``lengths.cpu().numpy()`` and ``lengths.tolist()`` the lengths themselves."""
    original: Any = getattr(kind, name)

    def method(self: Tensor, *args: Any, **kwargs: Any) -> Any:
        traced = isinstance(self, FakeTensor | FunctionalTensor)
        whole_numbers = self.dim() == 1 and not self.is_floating_point() and self.dtype != torch.bool
        if not traced or not whole_numbers:
            return original(self, *args, **kwargs)
        return RowLengths(self) if name == "tolist" else self

    return method


def sequences(packed: PackedSequence) -> Sequence[Tensor]:
    """The padded tensor, ``(N, T, ...)``, and the lengths of a packed sequence, as it is otherwise."""
    padded, lengths = rnn.pad_packed_sequence(packed, batch_first=True)
    return padded, lengths
