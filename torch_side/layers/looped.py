"""Recurrent layers as a loop over the steps: cells that torch lacks, and recurrent dropout in training.

The cells have other activations, or the reset gate before the product. Weights are named and laid out as in
`torch.nn.LSTM`, `torch.nn.GRU` and `torch.nn.RNN`. In a loop everything is possible, and slow; where torch
has the cell, and nothing is dropped, its own kernels run.

Dropout is Keras': what is dropped is the same at every step. All gates lose the same inputs; where there is
recurrent dropout, each loses inputs and states of its own (``implementation`` 1 and 2 of
``keras/src/layers/rnn/lstm.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from torch_side.layers.errors import LayerInputError
from torch_side.layers.masks import check_mask, every_step
from torch_side.layers.recurrent import MaskedGRU, MaskedLSTM, MaskedRNN


def gate_inputs(
    x: Tensor, weight: Tensor, bias: Tensor | None, gates: int, rate: float
) -> Tensor:
    """``x Wᵀ + b`` of ``(N, T, I)``, ``(N, T, G·H)``, without a share ``rate`` of ``x``.

    It is another share for each of ``gates``, and with 1 the same for all.
    """
    if rate == 0.0:
        return functional.linear(x, weight, bias)
    kept = functional.dropout(x.new_ones([x.shape[0], gates, x.shape[2]]), rate)
    z = torch.einsum(
        "nti,ngi,ghi->ntgh", x, kept, weight.unflatten(0, [gates, -1])
    ).flatten(2)
    return z if bias is None else z + bias


def recurrent_kept(h: Tensor, gates: int, rate: float) -> Tensor:
    """What of the states each gate sees, ``(N, G, H)``: 0 for a share ``rate``, the rest scaled up."""
    return functional.dropout(
        h.new_ones([h.shape[0], gates, h.shape[1]]), rate, training=rate > 0.0
    )


def gate_states(h: Tensor, kept: Tensor, weight: Tensor) -> Tensor:
    """``h Rᵀ`` of ``(N, H)``, ``(N, G·H)``, each gate with the part of ``h`` that it sees."""
    seen = h.unsqueeze(1) * kept
    return torch.einsum(
        "ngh,gkh->ngk", seen, weight.unflatten(0, [kept.shape[1], -1])
    ).flatten(1)


def outputs_of(steps: list[Tensor], mask: Tensor, zero_output_for_mask: bool) -> Tensor:
    """The carried outputs of all steps, ``(N, T, H)``; zero at masked ones, or before the first valid."""
    zero = ~mask if zero_output_for_mask else mask.cumsum(dim=1) == 0
    outputs = torch.stack(steps, dim=1)
    return outputs.masked_fill(over_features(zero, outputs), 0.0)


def over_features(mask: Tensor, x: Tensor) -> Tensor:
    """A mask ``(N, T)`` or ``(N)`` with sizes of 1 behind, as many as ``x`` has more."""
    for _ in range(x.ndim - mask.ndim):
        mask = mask.unsqueeze(-1)
    return mask


def check_states(states: list[Tensor], wanted: list[Tensor]) -> None:
    """Refuse initial states that are not of the shapes of others.

    Raises:
        LayerInputError: they are not, or there are more or fewer.
    """
    if len(states) != len(wanted):
        raise LayerInputError(
            f"there should be {len(wanted)} states, found {len(states)}"
        )
    for at in range(len(wanted)):
        given, size = list(states[at].shape), list(wanted[at].shape)
        if given != size:
            raise LayerInputError(f"state {at} should be {size}, found {given}")


class Recurrence(nn.Module):
    """A loop over the steps of any cell, which skips masked steps; the states are carried over them.

    Args:
        cell: takes x, ``(N, I)``, a list of the states, ``(N, size)`` each, and a list of the constants where
            there are any; gives the output, ``(N, O)``, and a list of the new states. All may have further
            sizes behind N.
        state_sizes: of each state the size behind N, or a list of the sizes.
        takes_constants: whether there are constants, which the cell is given at every step.
        zero_output_for_mask: as in `MaskedLSTM`.
    """

    __constants__: ClassVar[list[str]] = ["takes_constants"]

    def __init__(
        self,
        cell: nn.Module,
        state_sizes: Sequence[int | list[int]],
        takes_constants: bool = False,
        zero_output_for_mask: bool = True,
    ) -> None:
        super().__init__()
        self.cell = cell
        self.state_sizes = [
            [size] if isinstance(size, int) else list(size) for size in state_sizes
        ]
        self.takes_constants = takes_constants
        self.zero_output_for_mask = zero_output_for_mask

    def forward(
        self,
        input: Tensor,
        hx: list[Tensor] | None = None,
        mask: Tensor | None = None,
        constants: list[Tensor] | None = None,
    ) -> tuple[Tensor, list[Tensor]]:
        """``(N, T, I)`` to the outputs, ``(N, T, O)``, and the final states, ``(N, size)`` each.

        Args:
            input: the sequence; T is 1 or more.
            hx: the initial states; by default zeros.
            mask: which steps are valid, ``(N, T)`` booleans; by default all.
            constants: what the cell is given at every step.

        Raises:
            LayerInputError: the mask or the states do not go with the input.
        """
        mask = every_step(input) if mask is None else mask
        check_mask(input, mask)
        rows = input.shape[0]
        # TorchScript has no stars.
        zeros = [input.new_zeros([rows] + sizes) for sizes in self.state_sizes]  # noqa: RUF005
        states = zeros if hx is None else hx
        check_states(states, zeros)
        # Zeros instead of whatever the padding holds: NaN would reach the gradients of the weights.
        input = input.masked_fill(over_features(~mask, input), 0.0)
        steps: list[Tensor] = []
        for t in range(input.shape[1]):
            if self.takes_constants:
                given = [] if constants is None else constants
                output, after = self.cell(input[:, t], states, given)
            else:
                output, after = self.cell(input[:, t], states)
            states = [
                torch.where(over_features(mask[:, t], after[at]), after[at], states[at])
                for at in range(len(states))
            ]
            valid = over_features(mask[:, t], output)
            steps.append(output if t == 0 else torch.where(valid, output, steps[-1]))
        return outputs_of(steps, mask, self.zero_output_for_mask), states

    def extra_repr(self) -> str:
        """The settings, for ``print``."""
        return f"state_sizes={self.state_sizes}, zero_output_for_mask={self.zero_output_for_mask}"


class LoopedLSTM(MaskedLSTM):
    """An LSTM of one direction with any activations, and with recurrent dropout.

    Args:
        input_size: I.
        hidden_size: H.
        bias: whether there are biases.
        activation: of the candidate and of the cell state on its way out; by default tanh.
        recurrent_activation: of the gates i, f and o; by default a sigmoid.
        dropout: share of the inputs dropped in training.
        recurrent_dropout: share of the states dropped in training.
        zero_output_for_mask: as in `MaskedLSTM`.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        activation: nn.Module | None = None,
        recurrent_activation: nn.Module | None = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        zero_output_for_mask: bool = True,
    ) -> None:
        super().__init__(
            input_size, hidden_size, bias, zero_output_for_mask=zero_output_for_mask
        )
        self.stock = activation is None and recurrent_activation is None
        self.activation = activation or nn.Tanh()
        self.recurrent_activation = recurrent_activation or nn.Sigmoid()
        self.input_dropout = dropout
        self.recurrent_dropout = recurrent_dropout

    def forward(  # type: ignore[override]
        self,
        input: Tensor,
        hx: tuple[Tensor, Tensor] | None = None,
        mask: Tensor | None = None,
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """As `MaskedLSTM.forward`."""
        if self.stock and not self.training:
            return self.skip_masked(input, hx, mask)
        self._update_flat_weights()
        mask = every_step(input) if mask is None else mask
        check_mask(input, mask)
        # Zeros instead of whatever the padding holds: NaN would reach the gradients of the weights.
        input = input.masked_fill(~mask.unsqueeze(-1), 0.0)
        if hx is not None:
            self.check_forward_args(input, hx, None)
        h = (
            input.new_zeros([input.shape[0], self.hidden_size])
            if hx is None
            else hx[0][0]
        )
        c = torch.zeros_like(h) if hx is None else hx[1][0]
        rate = self.recurrent_dropout if self.training else 0.0
        kept = recurrent_kept(h, 4, rate)
        weights = self.weights_of(0)
        bias_ih, bias_hh = (weights[2], weights[3]) if self.bias else (None, None)
        dropped = self.input_dropout if self.training else 0.0
        z = gate_inputs(
            input, weights[0], bias_ih, 4 if self.recurrent_dropout else 1, dropped
        )
        steps: list[Tensor] = []
        for t in range(input.shape[1]):
            s = z[:, t] + gate_states(h, kept, weights[1])
            i, f, g, o = (s if bias_hh is None else s + bias_hh).chunk(4, dim=-1)
            new_c = self.recurrent_activation(f) * c + self.recurrent_activation(
                i
            ) * self.activation(g)
            new_h = self.recurrent_activation(o) * self.activation(new_c)
            valid = mask[:, t].unsqueeze(1)
            h, c = torch.where(valid, new_h, h), torch.where(valid, new_c, c)
            steps.append(h)
        return outputs_of(steps, mask, self.zero_output_for_mask), (
            h.unsqueeze(0),
            c.unsqueeze(0),
        )

    def extra_repr(self) -> str:
        """The settings, for ``print``."""
        dropped = f", dropout={self.input_dropout}, recurrent_dropout={self.recurrent_dropout}"
        return super().extra_repr() + dropped


class LoopedGRU(MaskedGRU):
    """A GRU of one direction with any activations, its reset gate where it may be, and recurrent dropout.

    Args:
        input_size: I.
        hidden_size: H.
        bias: whether there are biases.
        reset_after: whether the reset gate acts on ``h Rᵀ + b``, as in `torch.nn.GRU`, or on ``h``.
        activation: of the candidate; by default tanh.
        recurrent_activation: of the gates r and z; by default a sigmoid.
        dropout: share of the inputs dropped in training.
        recurrent_dropout: share of the states dropped in training.
        zero_output_for_mask: as in `MaskedLSTM`.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        reset_after: bool = True,
        activation: nn.Module | None = None,
        recurrent_activation: nn.Module | None = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        zero_output_for_mask: bool = True,
    ) -> None:
        super().__init__(
            input_size, hidden_size, bias, zero_output_for_mask=zero_output_for_mask
        )
        self.stock = activation is None and recurrent_activation is None and reset_after
        self.reset_after = reset_after
        self.activation = activation or nn.Tanh()
        self.recurrent_activation = recurrent_activation or nn.Sigmoid()
        self.input_dropout = dropout
        self.recurrent_dropout = recurrent_dropout

    def forward(  # type: ignore[override]
        self, input: Tensor, hx: Tensor | None = None, mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """As `MaskedGRU.forward`."""
        if self.stock and not self.training:
            return self.skip_masked(input, hx, mask)
        self._update_flat_weights()
        mask = every_step(input) if mask is None else mask
        check_mask(input, mask)
        # Zeros instead of whatever the padding holds: NaN would reach the gradients of the weights.
        input = input.masked_fill(~mask.unsqueeze(-1), 0.0)
        if hx is not None:
            self.check_forward_args(input, hx, None)
        h = input.new_zeros([input.shape[0], self.hidden_size]) if hx is None else hx[0]
        rate = self.recurrent_dropout if self.training else 0.0
        kept = recurrent_kept(h, 3, rate)
        H = self.hidden_size
        weights = self.weights_of(0)
        bias_ih, bias_hh = (
            (weights[2], weights[3]) if self.bias else (None, h.new_zeros([3 * H]))
        )
        dropped = self.input_dropout if self.training else 0.0
        z = gate_inputs(
            input, weights[0], bias_ih, 3 if self.recurrent_dropout else 1, dropped
        )
        steps: list[Tensor] = []
        for t in range(input.shape[1]):
            x_r, x_z, x_n = z[:, t].chunk(3, dim=-1)
            gates = gate_states(h, kept[:, :2], weights[1][: 2 * H]) + bias_hh[: 2 * H]
            h_r, h_z = gates.chunk(2, dim=-1)
            reset = self.recurrent_activation(x_r + h_r)
            seen = h if self.reset_after else reset * h
            h_n = gate_states(seen, kept[:, 2:], weights[1][2 * H :]) + bias_hh[2 * H :]
            n = self.activation(x_n + (reset * h_n if self.reset_after else h_n))
            update = self.recurrent_activation(x_z + h_z)
            h = torch.where(mask[:, t].unsqueeze(1), update * h + (1 - update) * n, h)
            steps.append(h)
        return outputs_of(steps, mask, self.zero_output_for_mask), h.unsqueeze(0)

    def extra_repr(self) -> str:
        """The settings, for ``print``."""
        dropped = f", dropout={self.input_dropout}, recurrent_dropout={self.recurrent_dropout}"
        return f"{super().extra_repr()}, reset_after={self.reset_after}{dropped}"


class LoopedRNN(MaskedRNN):
    """The plain recurrence of one direction with any activation, and with recurrent dropout.

    Args:
        input_size: I.
        hidden_size: H.
        bias: whether there are biases.
        activation: by default tanh.
        dropout: share of the inputs dropped in training.
        recurrent_dropout: share of the states dropped in training.
        zero_output_for_mask: as in `MaskedLSTM`.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        activation: nn.Module | None = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        zero_output_for_mask: bool = True,
    ) -> None:
        super().__init__(
            input_size,
            hidden_size,
            bias=bias,
            zero_output_for_mask=zero_output_for_mask,
        )
        self.stock = activation is None
        self.activation = activation or nn.Tanh()
        self.input_dropout = dropout
        self.recurrent_dropout = recurrent_dropout

    def forward(  # type: ignore[override]
        self, input: Tensor, hx: Tensor | None = None, mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """As `MaskedRNN.forward`."""
        if self.stock and not self.training:
            return self.skip_masked(input, hx, mask)
        self._update_flat_weights()
        mask = every_step(input) if mask is None else mask
        check_mask(input, mask)
        # Zeros instead of whatever the padding holds: NaN would reach the gradients of the weights.
        input = input.masked_fill(~mask.unsqueeze(-1), 0.0)
        if hx is not None:
            self.check_forward_args(input, hx, None)
        h = input.new_zeros([input.shape[0], self.hidden_size]) if hx is None else hx[0]
        rate = self.recurrent_dropout if self.training else 0.0
        kept = recurrent_kept(h, 1, rate)
        weights = self.weights_of(0)
        bias_ih, bias_hh = (weights[2], weights[3]) if self.bias else (None, None)
        dropped = self.input_dropout if self.training else 0.0
        z = gate_inputs(input, weights[0], bias_ih, 1, dropped)
        steps: list[Tensor] = []
        for t in range(input.shape[1]):
            s = z[:, t] + gate_states(h, kept, weights[1])
            new = self.activation(s if bias_hh is None else s + bias_hh)
            h = torch.where(mask[:, t].unsqueeze(1), new, h)
            steps.append(h)
        return outputs_of(steps, mask, self.zero_output_for_mask), h.unsqueeze(0)

    def extra_repr(self) -> str:
        """The settings, for ``print``."""
        dropped = f", dropout={self.input_dropout}, recurrent_dropout={self.recurrent_dropout}"
        return super().extra_repr() + dropped
