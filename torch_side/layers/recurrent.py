"""The recurrent layers of torch under masks: steps that are not valid are skipped, wherever they are.

There are two ways, which give the same numbers. *Whole rows*: a stable partition moves the valid steps of
every row to its front; what then comes behind them cannot change their outputs, which go back to their own
steps; the backward direction runs over reversed rows. Nothing depends on the numbers of the mask, so that
the layers can be scripted, traced, exported and compiled. *Packed*: the valid steps alone, by torch's kernels
for packed sequences. Which one is faster depends on the cell, the lengths and whether gradients are wanted:
on a CPU, in plain PyTorch, `packs` chooses; everywhere else rows are whole.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from torch_side.layers.masks import (
    back_in_place,
    check_mask,
    every_step,
    first_steps,
    last_first,
    last_valid,
    lengths_of,
    packed_order,
    repeat_valid,
    valid_first,
)


def packs(mode: str, trained: bool, lengths: list[int], hidden_size: int) -> bool:
    """Whether packing rows is faster than whole rows, up to the longest one, by torch's kernels on a CPU.

    Packed, nothing is computed for padding, but oneDNN's LSTM is for rows of one length alone, and in
    training each step has a gradient as large as that of all steps. The cost, in steps of whole rows, was
    measured by ``benchmarks/masked_torch.py`` of biport.

    Args:
        mode: as `torch.nn.RNNBase` has it.
        trained: whether gradients will be wanted.
        lengths: how many valid steps each row has.
        hidden_size: H.
    """
    valid, longest = sum(lengths), max(lengths)
    if valid == longest * (len(lengths) - lengths.count(0)):
        return True
    if mode != "LSTM":
        cost = valid * (0.7 + longest / 40) if trained else 0.0
    elif trained:
        cost = valid * (0.6 + longest / 25) + longest * 2500 / hidden_size
    else:
        cost = valid * 1.25 + longest * 400 / hidden_size
    return cost < len(lengths) * longest


class _Masked(nn.RNNBase):
    """What the layers under masks share."""

    def weights_of(self, direction: int) -> list[Tensor]:
        """The weights and biases of a direction."""
        count = 4 if self.bias else 2
        return self._flat_weights[direction * count : (direction + 1) * count]  # type: ignore[return-value]

    def skip(
        self, x: Tensor, states: list[Tensor], mask: Tensor | None
    ) -> tuple[Tensor, list[Tensor]]:
        """The outputs, ``(N, T, D·H)``, and the final states, ``(D, N, H)`` each."""
        mask = every_step(x) if mask is None else mask
        check_mask(x, mask)
        # TorchScript does not compile what depends on the numbers of the mask.
        if not torch.jit.is_scripting():  # pyright: ignore[reportPrivateImportUsage]
            lengths = lengths_of(mask)
            if lengths:
                return self.by_lengths(x, states, mask, lengths)
        return self.over_rows(x, states, mask, None)

    def by_lengths(
        self, x: Tensor, states: list[Tensor], mask: Tensor, lengths: list[int]
    ) -> tuple[Tensor, list[Tensor]]:
        """What `skip` gives, in the way that is fastest where rows have so many valid steps."""
        if sum(lengths) == mask.numel():
            return self.kernel(x, None, states)
        tensors = [x, *states, *self._flat_weights]
        trained = torch.is_grad_enabled() and any(one.requires_grad for one in tensors)  # type: ignore[union-attr]
        if packs(self.mode, trained, lengths, self.hidden_size):
            return self.over_packed(x, states, mask, lengths)
        return self.over_rows(x, states, mask, max(lengths))

    def kernel(
        self, x: Tensor, sizes: Tensor | None, states: list[Tensor]
    ) -> tuple[Tensor, list[Tensor]]:
        """What torch's own layer gives for whole rows, or for packed ones with their batch sizes."""
        given = (x, states if self.mode == "LSTM" else states[0])
        given = given if sizes is None else (x, sizes, given[1])
        directions = range(2 if self.bidirectional else 1)
        weights = [one for at in directions for one in self.weights_of(at)]
        settings = (weights, self.bias, 1, 0.0, self.training, self.bidirectional)
        settings = (*settings, True) if sizes is None else settings
        y, *final = getattr(torch, self.mode.lower())(*given, *settings)
        return y, final

    def over_packed(
        self, x: Tensor, states: list[Tensor], mask: Tensor, lengths: list[int]
    ) -> tuple[Tensor, list[Tensor]]:
        """What `skip` gives, over the valid steps alone, ``lengths`` in each row."""
        count, longest = len(lengths) - lengths.count(0), max(lengths)
        order, sizes, rows = packed_order(mask, longest)
        rows = rows[:count]
        steps = x.reshape(-1, x.shape[2]).index_select(0, order)
        own = [state.index_select(1, rows) for state in states]
        if len(order) == count * longest:
            steps = steps.view(longest, count, -1).transpose(0, 1)
            y, own = self.kernel(steps, None, own)
            y = y.transpose(0, 1).flatten(0, 1)
        else:
            y, own = self.kernel(steps, sizes, own)
        y = y.new_zeros([mask.numel(), y.shape[1]]).index_copy(0, order, y)
        y = y.view(mask.shape[0], mask.shape[1], -1)
        final = [s.index_copy(1, rows, o) for s, o in zip(states, own, strict=True)]
        if self.zero_output_for_mask:
            return y, final
        ways = y.split(self.hidden_size, dim=-1)
        repeated = [repeat_valid(ways[0], mask)]
        if self.bidirectional:
            repeated.append(repeat_valid(ways[1].flip(1), mask.flip(1)).flip(1))
        return torch.cat(repeated, dim=-1), final

    def over_rows(
        self, x: Tensor, states: list[Tensor], mask: Tensor, longest: int | None
    ) -> tuple[Tensor, list[Tensor]]:
        """What `skip` gives, over whole rows; none has more than ``longest`` valid steps, by default T."""
        order, behind = valid_first(mask, longest)
        # Behind the valid steps stands one and the same vector. One feature more is for layers that have to
        # know where that is.
        table = functional.pad(
            x.reshape(-1, x.shape[2]), [0, int(self.mode in ("LSTM", "RNN_RELU")), 1, 0]
        )
        if self.mode in ("LSTM", "RNN_RELU"):
            table[0, -1] = 1.0
        first = first_steps(x) + 1
        outputs: list[Tensor] = []
        final: list[list[Tensor]] = [[] for _ in states]
        for at in range(2 if self.bidirectional else 1):
            order = last_first(order, mask) if at == 1 else order
            rows = functional.embedding(
                (first + order).masked_fill(behind, 0), table, 0
            )
            own = [state[at] for state in states]
            y, last = self.one_way(rows, own, self.weights_of(at))
            last[0] = last_valid(y, mask, own[0])
            for number in range(len(last)):
                final[number].append(last[number])
            zero = self.zero_output_for_mask
            outputs.append(back_in_place(y, mask, at == 1, zero))  # type: ignore[arg-type]
        return torch.cat(outputs, dim=-1), [torch.stack(last) for last in final]

    def one_way(
        self, x: Tensor, states: list[Tensor], weights: list[Tensor]
    ) -> tuple[Tensor, list[Tensor]]:
        """The outputs of one direction, and its states at the end."""
        raise NotImplementedError

    def extra_repr(self) -> str:
        """The settings, for ``print``."""
        return super().extra_repr() + (
            "" if self.zero_output_for_mask else ", zero_output_for_mask=False"
        )


class MaskedLSTM(_Masked, nn.LSTM):
    """`torch.nn.LSTM` of one layer, batch first, that skips masked steps; the states are carried over them.

    Args:
        input_size: I.
        hidden_size: H.
        bias: whether there are biases.
        bidirectional: whether there is a second direction, from the last step to the first.
        zero_output_for_mask: whether the output is zero at masked steps; otherwise it repeats the previous
            output there (zeros before the first valid step).
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        bidirectional: bool = False,
        zero_output_for_mask: bool = True,
    ) -> None:
        super().__init__(
            input_size,
            hidden_size,
            bias=bias,
            batch_first=True,
            bidirectional=bidirectional,
        )
        self.zero_output_for_mask = zero_output_for_mask

    def forward(  # type: ignore[override]
        self,
        input: Tensor,
        hx: tuple[Tensor, Tensor] | None = None,
        mask: Tensor | None = None,
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """``(N, T, I)`` to the outputs, ``(N, T, D·H)``, and the final states, ``(D, N, H)`` each.

        Args:
            input: the sequence.
            hx: the initial states, ``(D, N, H)`` each; by default zeros.
            mask: which steps are valid, ``(N, T)`` booleans; by default all.

        Raises:
            LayerInputError: the mask is not boolean or has another shape.
            RuntimeError: the input or the states have another shape.
        """
        return self.skip_masked(input, hx, mask)

    def skip_masked(
        self, input: Tensor, hx: tuple[Tensor, Tensor] | None, mask: Tensor | None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """What `forward` gives."""
        self._update_flat_weights()
        if hx is None:
            zeros = input.new_zeros(
                [2 if self.bidirectional else 1, input.shape[0], self.hidden_size]
            )
            hx = (zeros, zeros)
        self.check_forward_args(input, hx, None)
        y, final = self.skip(input, [hx[0], hx[1]], mask)
        return y, (final[0], final[1])

    def one_way(
        self, x: Tensor, states: list[Tensor], weights: list[Tensor]
    ) -> tuple[Tensor, list[Tensor]]:
        """The outputs of one direction, and its states at the end."""
        # The feature that says what lies behind the valid steps opens f and closes i, so that c stays.
        gates = torch.tensor([-1e4, 1e4, 0.0, 0.0], dtype=x.dtype, device=x.device)
        column = gates.repeat_interleave(self.hidden_size).unsqueeze(1)
        weights = weights.copy()
        weights[0] = torch.cat([weights[0], column], dim=1)
        start = [state.unsqueeze(0) for state in states]
        y, h, c = torch.lstm(
            x, start, weights, self.bias, 1, 0.0, self.training, False, True
        )
        return y, [h[0], c[0]]


class _OneState(_Masked):
    """What the layers of one state share."""

    def forward(  # type: ignore[override]
        self, input: Tensor, hx: Tensor | None = None, mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """``(N, T, I)`` to the outputs, ``(N, T, D·H)``, and the final states, ``(D, N, H)``.

        Args:
            input: the sequence.
            hx: the initial states, ``(D, N, H)``; by default zeros.
            mask: which steps are valid, ``(N, T)`` booleans; by default all.

        Raises:
            LayerInputError: the mask is not boolean or has another shape.
            RuntimeError: the input or the states have another shape.
        """
        return self.skip_masked(input, hx, mask)

    def skip_masked(
        self, input: Tensor, hx: Tensor | None, mask: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """What `forward` gives."""
        self._update_flat_weights()
        if hx is None:
            hx = input.new_zeros(
                [2 if self.bidirectional else 1, input.shape[0], self.hidden_size]
            )
        self.check_forward_args(input, hx, None)
        y, final = self.skip(input, [hx], mask)
        return y, final[0]


class MaskedGRU(_OneState, nn.GRU):  # type: ignore[misc]
    """`torch.nn.GRU` of one layer, batch first, that skips masked steps; see `MaskedLSTM`."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        bidirectional: bool = False,
        zero_output_for_mask: bool = True,
    ) -> None:
        super().__init__(
            input_size,
            hidden_size,
            bias=bias,
            batch_first=True,
            bidirectional=bidirectional,
        )
        self.zero_output_for_mask = zero_output_for_mask

    def one_way(
        self, x: Tensor, states: list[Tensor], weights: list[Tensor]
    ) -> tuple[Tensor, list[Tensor]]:
        """The outputs of one direction, and its state at the end."""
        h = states[0].unsqueeze(0)
        y, h = torch.gru(x, h, weights, self.bias, 1, 0.0, self.training, False, True)
        return y, [h[0]]


class MaskedRNN(_OneState, nn.RNN):  # type: ignore[misc]
    """`torch.nn.RNN` of one layer, batch first, that skips masked steps; see `MaskedLSTM`.

    Args:
        input_size: I.
        hidden_size: H.
        nonlinearity: ``"tanh"`` or ``"relu"``.
        bias: whether there are biases.
        bidirectional: whether there is a second direction, from the last step to the first.
        zero_output_for_mask: whether the output is zero at masked steps; otherwise it repeats the previous
            output there (zeros before the first valid step).
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        nonlinearity: str = "tanh",
        bias: bool = True,
        bidirectional: bool = False,
        zero_output_for_mask: bool = True,
    ) -> None:
        settings = {"bias": bias, "batch_first": True, "bidirectional": bidirectional}
        super().__init__(input_size, hidden_size, nonlinearity=nonlinearity, **settings)
        self.zero_output_for_mask = zero_output_for_mask

    def one_way(
        self, x: Tensor, states: list[Tensor], weights: list[Tensor]
    ) -> tuple[Tensor, list[Tensor]]:
        """The outputs of one direction, and its state at the end."""
        h = states[0].unsqueeze(0)
        if self.nonlinearity == "tanh":
            y, h = torch.rnn_tanh(
                x, h, weights, self.bias, 1, 0.0, self.training, False, True
            )
            return y, [h[0]]
        # The feature that says what lies behind the valid steps keeps a relu from growing until it overflows.
        column = torch.full([self.hidden_size, 1], -1e4, dtype=x.dtype, device=x.device)
        weights = weights.copy()
        weights[0] = torch.cat([weights[0], column], dim=1)
        y, h = torch.rnn_relu(
            x, h, weights, self.bias, 1, 0.0, self.training, False, True
        )
        return y, [h[0]]
