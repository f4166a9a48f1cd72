"""The recurrent layers of torch under masks: steps that are not valid are skipped, wherever they are.

A stable partition moves the valid steps of every row to its front; what then comes behind them cannot change
their outputs, which go back to their own steps. So each direction runs over whole rows, the backward one over
reversed ones, by torch's fast kernels: on a CPU 1.8 to 3.8 times as fast as over packed sequences at
inference and 1.9 to 9 times in training, measured for batches of 8 and 32. Nothing depends on the values of
the mask, so that the layers can be scripted, traced and exported.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from torch_side.layers.masks import (
    back_in_place,
    check_mask,
    every_step,
    last_valid,
    valid_first,
)


class _Masked(nn.RNNBase):
    """What the layers under masks share."""

    def weights_of(self, direction: int) -> list[Tensor]:
        """The weights and biases of a direction."""
        count = 4 if self.bias else 2
        return self._flat_weights[direction * count : (direction + 1) * count]  # type: ignore[return-value]

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
        mask = every_step(input) if mask is None else mask
        check_mask(input, mask)
        if hx is None:
            zeros = input.new_zeros(
                [2 if self.bidirectional else 1, input.shape[0], self.hidden_size]
            )
            hx = (zeros, zeros)
        self.check_forward_args(input, hx, None)
        y, h, c = self.one_way(input, mask, hx[0][0], hx[1][0], self.weights_of(0))
        if not self.bidirectional:
            return y, (h.unsqueeze(0), c.unsqueeze(0))
        x, mask = input.flip(1), mask.flip(1)
        back, h2, c2 = self.one_way(x, mask, hx[0][1], hx[1][1], self.weights_of(1))
        return torch.cat([y, back.flip(1)], dim=-1), (
            torch.stack([h, h2]),
            torch.stack([c, c2]),
        )

    def one_way(
        self, x: Tensor, mask: Tensor, h: Tensor, c: Tensor, weights: list[Tensor]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """One direction from its first step to its last: the outputs and the final states, ``(N, H)``."""
        x, behind = valid_first(x, mask)
        # One input more says what lies behind the valid steps: it opens f and closes i, so that c stays.
        x = torch.cat([x, behind.unsqueeze(-1).to(x.dtype)], dim=-1)
        gates = torch.tensor([-1e4, 1e4, 0.0, 0.0], dtype=x.dtype, device=x.device)
        column = gates.repeat_interleave(self.hidden_size).unsqueeze(1)
        weights = weights.copy()
        weights[0] = torch.cat([weights[0], column], dim=1)
        states = [h.unsqueeze(0), c.unsqueeze(0)]
        y, _, last_c = torch.lstm(
            x, states, weights, self.bias, 1, 0.0, self.training, False, True
        )
        return (
            back_in_place(y, mask, self.zero_output_for_mask),
            last_valid(y, mask, h),
            last_c[0],
        )


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
        mask = every_step(input) if mask is None else mask
        check_mask(input, mask)
        if hx is None:
            hx = input.new_zeros(
                [2 if self.bidirectional else 1, input.shape[0], self.hidden_size]
            )
        self.check_forward_args(input, hx, None)
        y, h = self.one_way(input, mask, hx[0], self.weights_of(0))
        if not self.bidirectional:
            return y, h.unsqueeze(0)
        back, h2 = self.one_way(input.flip(1), mask.flip(1), hx[1], self.weights_of(1))
        return torch.cat([y, back.flip(1)], dim=-1), torch.stack([h, h2])

    def one_way(
        self, x: Tensor, mask: Tensor, h: Tensor, weights: list[Tensor]
    ) -> tuple[Tensor, Tensor]:
        """One direction from its first step to its last: the outputs and the final state, ``(N, H)``."""
        raise NotImplementedError


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
        self, x: Tensor, mask: Tensor, h: Tensor, weights: list[Tensor]
    ) -> tuple[Tensor, Tensor]:
        """One direction from its first step to its last: the outputs and the final state, ``(N, H)``."""
        x, _ = valid_first(x, mask)
        y, _ = torch.gru(
            x, h.unsqueeze(0), weights, self.bias, 1, 0.0, self.training, False, True
        )
        return back_in_place(y, mask, self.zero_output_for_mask), last_valid(y, mask, h)


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
        self, x: Tensor, mask: Tensor, h: Tensor, weights: list[Tensor]
    ) -> tuple[Tensor, Tensor]:
        """One direction from its first step to its last: the outputs and the final state, ``(N, H)``."""
        x, behind = valid_first(x, mask)
        # One input more says what lies behind the valid steps, where a relu would grow until it overflows.
        x = torch.cat([x, behind.unsqueeze(-1).to(x.dtype)], dim=-1)
        column = torch.full([self.hidden_size, 1], -1e4, dtype=x.dtype, device=x.device)
        weights = weights.copy()
        weights[0] = torch.cat([weights[0], column], dim=1)
        if self.nonlinearity == "tanh":
            y, _ = torch.rnn_tanh(
                x,
                h.unsqueeze(0),
                weights,
                self.bias,
                1,
                0.0,
                self.training,
                False,
                True,
            )
        else:
            y, _ = torch.rnn_relu(
                x,
                h.unsqueeze(0),
                weights,
                self.bias,
                1,
                0.0,
                self.training,
                False,
                True,
            )
        return back_in_place(y, mask, self.zero_output_for_mask), last_valid(y, mask, h)
