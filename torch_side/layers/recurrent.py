"""Recurrent layers of one direction, with Keras' rules for masks: `torch.nn`'s own where it has the cell.

Source of the rules: Keras 3.15 ``keras/src/layers/rnn``; `biport.reference.recurrent` spells them out.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from torch_side.layers import cells
from torch_side.layers.errors import LayerSettingError
from torch_side.layers.masks import carry, check_mask, check_states
from torch_side.layers.regularization import drop_features
from torch_side.layers.scan import States, scan, zero_states

Output = Tensor | tuple[Tensor, ...]


class Recurrent(nn.Module):
    """What every layer of one direction over ``(N, T, I)`` shares: it skips masked steps.

    The states are carried over a masked step. So is the output (zeros before the first valid step), or it
    is zero there with ``zero_output_for_mask``.

    Args:
        reverse: from the last step to the first; the output stays in that order. Keras
            ``go_backwards``.
        return_sequences: give every step's output, ``(N, T, H)``, instead of the last's, ``(N, H)``.
        return_state: give the final states as well, after the output.
        zero_output_for_mask: zeros at masked steps.
    """

    state_sizes: tuple[int, ...]
    """H of each state."""

    def __init__(
        self,
        *,
        reverse: bool = False,
        return_sequences: bool = False,
        return_state: bool = False,
        zero_output_for_mask: bool = False,
    ) -> None:
        super().__init__()
        self.reverse = reverse
        self.return_sequences = return_sequences
        self.return_state = return_state
        self.zero_output_for_mask = zero_output_for_mask

    def scan(self, x: Tensor, mask: Tensor | None, states: States | None) -> tuple[Tensor, States]:
        """The outputs ``(N, T, H)``, zero at masked steps, and the final states, ``(N, H)`` each."""
        raise NotImplementedError

    def forward(
        self, x: Tensor, mask: Tensor | None = None, states: Sequence[Tensor] | None = None
    ) -> Output:
        """``(N, T, I)`` to ``(N, T, H)`` or ``(N, H)``; with ``return_state`` also the final states.

        Args:
            x: the sequence.
            mask: which steps are valid, ``(N, T)`` booleans; by default all.
            states: the initial ones, ``(N, H)`` each; by default zeros.

        Raises:
            LayerInputError: the mask is not boolean, or mask or states have another shape.
            LayerSettingError: in training, with ``recurrent_dropout``.
        """
        check_mask(x, mask)
        check_states(x, states, self.state_sizes)
        if self.reverse:
            x = x.flip(1)
            mask = None if mask is None else mask.flip(1)
        outputs, final = self.scan(x, mask, None if states is None else tuple(states))
        output = self._output(outputs, final[-self._top :][0], mask, states is not None)
        return (output, *final) if self.return_state else output

    @property
    def _top(self) -> int:
        """How many states, counted from the last, belong to the cell that gives the output."""
        return len(self.state_sizes)

    def _output(self, outputs: Tensor, last: Tensor, mask: Tensor | None, started: bool) -> Tensor:
        if self.return_sequences:
            return outputs if mask is None or self.zero_output_for_mask else carry(outputs, mask)
        if mask is not None and self.zero_output_for_mask and mask.shape[1]:
            return last.masked_fill(~mask[:, -1:], 0)
        return final_output(last, outputs.shape[1], mask) if started else last

    def extra_repr(self) -> str:
        """The settings that differ from their defaults, for ``print``."""
        return shown(self, SETTINGS)


def final_output(last: Tensor, steps: int, mask: Tensor | None) -> Tensor:
    """The last output from the last states, ``(..., N, H)``, of a layer that began with states given to it.

    A row without a valid step ends in its initial state, but has given no output: zeros.
    """
    if steps == 0:
        return torch.zeros_like(last)
    return last if mask is None else last.masked_fill(~mask.any(dim=1, keepdim=True), 0)


SETTINGS = (
    *("return_sequences", "return_state", "reverse", "zero_output_for_mask"),
    *("dropout", "recurrent_dropout"),
)


def shown(layer: nn.Module, names: Sequence[str]) -> str:
    """The settings among ``names`` that are not false or zero."""
    settings = {name: getattr(layer, name, False) for name in names}
    return ", ".join(f"{name}={value}" for name, value in settings.items() if value or value is None)


def drop(layer: nn.Module, x: Tensor, dropout: float, recurrent_dropout: float) -> Tensor:
    """Drop input features in training.

    Raises:
        LayerSettingError: in training, with ``recurrent_dropout``, which torch's layers do not have.
    """
    if layer.training and recurrent_dropout:
        owner = f"{type(layer).__name__} in training"
        raise LayerSettingError(owner, "recurrent_dropout", recurrent_dropout, ["0"])
    return drop_features(x, dropout, layer.training)


def has_native(
    kind: str, activation: str, recurrent_activation: str = "sigmoid", reset_after: bool = True
) -> bool:
    """Whether `torch.nn` has the cell; ``kind`` is ``"LSTM"``, ``"GRU"`` or ``"RNN"``."""
    if kind == "RNN":
        return activation in ("tanh", "relu")
    return (activation, recurrent_activation, reset_after) == ("tanh", "sigmoid", True)


class OneCell(Recurrent):
    """A layer of one kind of cell: torch's own layer where it has the cell, else a loop over one of ours.

    Args:
        input_size: I.
        hidden_size: H; Keras ``units``.
        activation: by its Keras name.
        dropout: share of the input features dropped in training, the same at every step.
        recurrent_dropout: share of the state dropped in training. torch's layers have no such thing: the
            setting is kept, but a training step with it is refused.
        scan_settings: the settings of `Recurrent`.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        activation: str,
        dropout: float,
        recurrent_dropout: float,
        **scan_settings: bool,
    ) -> None:
        super().__init__(**scan_settings)
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.activation = activation
        self.dropout = dropout
        self.recurrent_dropout = recurrent_dropout
        self.state_sizes = (hidden_size,)

    @property
    def inner(self) -> nn.RNNBase | cells.Cell:
        """What has the weights: torch's own layer, or a cell of `torch_side.layers.cells`."""
        return next(part for part in self.children() if isinstance(part, (nn.RNNBase, cells.Cell)))

    def scan(self, x: Tensor, mask: Tensor | None, states: States | None) -> tuple[Tensor, States]:
        """The outputs, zero at masked steps, and the final states."""
        x = drop(self, x, self.dropout, self.recurrent_dropout)
        inner = self.inner
        if isinstance(inner, cells.Cell):
            return inner(x, states or tuple(x.new_zeros(len(x), H) for H in self.state_sizes), mask)
        initial = zero_states(inner, x) if states is None else tuple(state.unsqueeze(0) for state in states)
        outputs, final = scan(inner, x, mask, initial, self.return_state)
        return outputs, tuple(state[0] for state in final)


class LSTM(OneCell):
    """Long short-term memory over ``(N, T, I)`` that skips masked steps, wherever they are.

    Around `torch.nn.LSTM`; with other activations around a loop over `torch_side.layers.cells.LSTMCell`.

    Args:
        input_size: I.
        hidden_size: H; Keras ``units``.
        bias: whether there are biases; Keras ``use_bias``. torch has two, which are added.
        activation: of the candidate and of the cell state on its way out, by its Keras name.
        recurrent_activation: of the gates, by its Keras name.
        dropout: share of the input features dropped in training, the same at every step.
        recurrent_dropout: share of the state dropped in training. torch's layers have no such thing: the
            setting is kept, but a training step with it is refused.
        scan_settings: ``reverse``, ``return_sequences``, ``return_state`` and ``zero_output_for_mask``, as in
            `Recurrent`.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        bias: bool = True,
        activation: str = "tanh",
        recurrent_activation: str = "sigmoid",
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        **scan_settings: bool,
    ) -> None:
        settings = {"activation": activation, "dropout": dropout, "recurrent_dropout": recurrent_dropout}
        super().__init__(input_size, hidden_size, **settings, **scan_settings)  # type: ignore[arg-type]
        self.recurrent_activation = recurrent_activation
        self.state_sizes = (hidden_size, hidden_size)
        if has_native("LSTM", activation, recurrent_activation):
            self.lstm = nn.LSTM(input_size, hidden_size, bias=bias, batch_first=True)
        else:
            self.cell = cells.LSTMCell(
                input_size,
                hidden_size,
                bias=bias,
                activation=activation,
                recurrent_activation=recurrent_activation,
            )


class GRU(OneCell):
    """A gated recurrent unit over ``(N, T, I)`` that skips masked steps, wherever they are.

    Around `torch.nn.GRU`; with other activations, or the reset gate before the product, around a loop over
    `torch_side.layers.cells.GRUCell`. The other arguments are those of `LSTM`.

    Args:
        reset_after: where the reset gate acts: on ``h Rᵀ + b_hh``, as in `torch.nn.GRU`, or on ``h``.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        bias: bool = True,
        reset_after: bool = True,
        activation: str = "tanh",
        recurrent_activation: str = "sigmoid",
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        **scan_settings: bool,
    ) -> None:
        settings = {"activation": activation, "dropout": dropout, "recurrent_dropout": recurrent_dropout}
        super().__init__(input_size, hidden_size, **settings, **scan_settings)  # type: ignore[arg-type]
        self.reset_after = reset_after
        self.recurrent_activation = recurrent_activation
        if has_native("GRU", activation, recurrent_activation, reset_after):
            self.gru = nn.GRU(input_size, hidden_size, bias=bias, batch_first=True)
        else:
            self.cell = cells.GRUCell(
                input_size,
                hidden_size,
                bias=bias,
                reset_after=reset_after,
                activation=activation,
                recurrent_activation=recurrent_activation,
            )


class RNN(OneCell):
    """The plain recurrence over ``(N, T, I)`` that skips masked steps, wherever they are.

    Around `torch.nn.RNN`, which knows tanh and relu; else around a loop over
    `torch_side.layers.cells.RNNCell`. The arguments are those of `LSTM`.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        bias: bool = True,
        activation: str = "tanh",
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        **scan_settings: bool,
    ) -> None:
        settings = {"activation": activation, "dropout": dropout, "recurrent_dropout": recurrent_dropout}
        super().__init__(input_size, hidden_size, **settings, **scan_settings)  # type: ignore[arg-type]
        if has_native("RNN", activation):
            self.rnn = nn.RNN(input_size, hidden_size, nonlinearity=activation, bias=bias, batch_first=True)
        else:
            self.cell = cells.RNNCell(input_size, hidden_size, bias=bias, activation=activation)


class StackedRNN(Recurrent):
    """Layers on top of each other that step together; Keras ``RNN(StackedRNNCells(...))``.

    Args:
        layers: from the input up, each an `LSTM`, `GRU` or `RNN`; direction and outputs are set
            here, as the stack needs it.
        scan_settings: the settings of `Recurrent`.
    """

    def __init__(self, layers: Sequence[Recurrent], **scan_settings: bool) -> None:
        super().__init__(**scan_settings)
        for layer in layers:
            layer.reverse = False
            layer.return_sequences = layer.return_state = layer.zero_output_for_mask = True
        self.cells = nn.ModuleList(layers)
        self.state_sizes = tuple(size for layer in layers for size in layer.state_sizes)

    @property
    def _top(self) -> int:
        return len(self.cells[-1].state_sizes)  # type: ignore[arg-type]

    def scan(self, x: Tensor, mask: Tensor | None, states: States | None) -> tuple[Tensor, States]:
        """The outputs of the last layer, zero at masked steps, and the final states of all."""
        final: list[Tensor] = []
        for layer in self.cells:
            assert isinstance(layer, Recurrent)
            own = None if states is None else states[len(final) : len(final) + len(layer.state_sizes)]
            x, states_of_layer = layer.scan(x, mask, own)
            final += states_of_layer
        return x, tuple(final)
