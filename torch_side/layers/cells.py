"""Recurrent cells `torch.nn` does not have: other activations, or the reset gate before the product.

Weights are laid out as in `torch.nn.LSTM`, `torch.nn.GRU` and `torch.nn.RNN`: gates stacked in torch's order,
two biases. The steps are a Python loop, which any activation can be part of, and slow.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from torch_side.layers.activation import apply
from torch_side.layers.scan import States


class Cell(nn.Module):
    """What the cells share: the weights of G gates, and the loop over time.

    Args:
        input_size: I.
        hidden_size: H.
        bias: whether there are biases, two of them, which are added.
        activation: by its Keras name.
    """

    gates: int
    state_count = 1

    def __init__(self, input_size: int, hidden_size: int, *, bias: bool = True, activation: str = "tanh"):
        super().__init__()
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.bias = bias
        self.activation = activation
        rows = self.gates * hidden_size
        self.weight_ih = nn.Parameter(torch.empty(rows, input_size))
        self.weight_hh = nn.Parameter(torch.empty(rows, hidden_size))
        self.bias_ih = nn.Parameter(torch.empty(rows)) if bias else None
        self.bias_hh = nn.Parameter(torch.empty(rows)) if bias else None
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -(hidden_size**-0.5), hidden_size**-0.5)

    def step(self, z: Tensor, states: States) -> States:
        """The new states, the output first, from ``x Wᵀ + b_ih``, ``(N, G·H)``, and the old ones."""
        raise NotImplementedError

    def forward(self, x: Tensor, states: States, mask: Tensor | None = None) -> tuple[Tensor, States]:
        """``(N, T, I)`` to the outputs ``(N, T, H)``, zero at masked steps, and the final states."""
        z = functional.linear(x, self.weight_ih, self.bias_ih)
        outputs = []
        for t in range(x.shape[1]):
            new = self.step(z[:, t], states)
            output = new[0]
            if mask is not None:
                keep = mask[:, t, None]
                output = output.masked_fill(~keep, 0)
                new = tuple(torch.where(keep, after, old) for after, old in zip(new, states, strict=True))
            states = new
            outputs.append(output)
        if not outputs:
            return x.new_zeros(x.shape[0], 0, self.hidden_size), states
        return torch.stack(outputs, dim=1), states

    def extra_repr(self) -> str:
        """The sizes and activations, for ``print``."""
        return f"{self.input_size}, {self.hidden_size}, activation={self.activation}"


class LSTMCell(Cell):
    """The gates of an LSTM, with activations of its own; see `torch_side.layers.LSTM`.

    Args:
        recurrent_activation: of the gates i, f and o, by its Keras name.
    """

    gates = 4
    state_count = 2

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        recurrent_activation: str = "sigmoid",
        **settings: bool | str,
    ):
        super().__init__(input_size, hidden_size, **settings)  # type: ignore[arg-type]
        self.recurrent_activation = recurrent_activation

    def step(self, z: Tensor, states: States) -> States:
        """``h, c`` from the four gates i, f, g, o."""
        h, c = states
        i, f, g, o = (z + functional.linear(h, self.weight_hh, self.bias_hh)).chunk(4, dim=-1)
        i, f, o = (apply(self.recurrent_activation, gate) for gate in (i, f, o))
        c = f * c + i * apply(self.activation, g)
        return o * apply(self.activation, c), c


class GRUCell(Cell):
    """The gates of a GRU, with the reset gate before or after the product; see `torch_side.layers.GRU`.

    Args:
        reset_after: reset ``h Rᵀ + b_hh`` instead of ``h``.
        recurrent_activation: of the gates r and z, by its Keras name.
    """

    gates = 3

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        reset_after: bool = True,
        recurrent_activation: str = "sigmoid",
        **settings: bool | str,
    ):
        super().__init__(input_size, hidden_size, **settings)  # type: ignore[arg-type]
        self.reset_after = reset_after
        self.recurrent_activation = recurrent_activation

    def step(self, z: Tensor, states: States) -> States:
        """``h`` from the gates r, z and the candidate n."""
        (h,) = states
        H = self.hidden_size
        x_r, x_z, x_n = z.chunk(3, dim=-1)
        if self.reset_after:
            h_r, h_z, h_n = functional.linear(h, self.weight_hh, self.bias_hh).chunk(3, dim=-1)
            reset = apply(self.recurrent_activation, x_r + h_r)
            inner = reset * h_n
        else:
            gates = functional.linear(h, self.weight_hh[: 2 * H], self._bias(slice(0, 2 * H)))
            h_r, h_z = gates.chunk(2, dim=-1)
            reset = apply(self.recurrent_activation, x_r + h_r)
            inner = functional.linear(reset * h, self.weight_hh[2 * H :], self._bias(slice(2 * H, None)))
        update = apply(self.recurrent_activation, x_z + h_z)
        return (update * h + (1 - update) * apply(self.activation, x_n + inner),)

    def _bias(self, rows: slice) -> Tensor | None:
        return None if self.bias_hh is None else self.bias_hh[rows]


class RNNCell(Cell):
    """The plain recurrence, with an activation of its own; see `torch_side.layers.RNN`."""

    gates = 1

    def step(self, z: Tensor, states: States) -> States:
        """``h``."""
        return (apply(self.activation, z + functional.linear(states[0], self.weight_hh, self.bias_hh)),)
