"""Two directions at once: inside of one layer of `torch.nn`, or as a pair of layers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from torch_side.layers.errors import LayerSettingError
from torch_side.layers.masks import check_mask, check_states
from torch_side.layers.recurrent import Output, Recurrent, drop, final_output, shown
from torch_side.layers.scan import scan, zero_states

MERGE_MODES = ("concat", "sum", "mul", "ave", None)
SETTINGS = ("return_sequences", "return_state", "merge", "dropout", "recurrent_dropout")


class Bidirectional(nn.Module):
    """An LSTM, GRU or RNN in both directions over the valid steps of ``(N, T, I)``, their outputs merged.

    With ``return_sequences`` masked steps are zero; without, each direction gives its final state. Initial
    and final states are the forward direction's, then the backward direction's.

    Args:
        input_size: I.
        hidden_size: H of each direction.
        kind: ``"LSTM"``, ``"GRU"`` or ``"RNN"``: the layer of `torch.nn` inside.
        activation: of an RNN, ``"tanh"`` or ``"relu"``; the others have torch's.
        bias: whether there are biases.
        return_sequences: give every step's output, in time order.
        return_state: give the final states as well, after the output.
        merge: ``"concat"``, ``"sum"``, ``"mul"``, ``"ave"`` (the mean) or ``None`` (two outputs); Keras
            ``merge_mode``.
        dropout: share of the input features dropped in training, the same for both directions.
        recurrent_dropout: share of the state dropped in training: kept, but a training step with it is
            refused.

    Raises:
        LayerSettingError: ``merge`` is another one.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        kind: str = "LSTM",
        activation: str = "tanh",
        bias: bool = True,
        return_sequences: bool = False,
        return_state: bool = False,
        merge: str | None = "concat",
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        _check_merge(merge)
        self.kind = kind
        self.return_sequences = return_sequences
        self.return_state = return_state
        self.merge = merge
        self.dropout = dropout
        self.recurrent_dropout = recurrent_dropout
        settings = {"bias": bias, "batch_first": True, "bidirectional": True}
        match kind:
            case "LSTM":
                self.lstm = nn.LSTM(input_size, hidden_size, **settings)
            case "GRU":
                self.gru = nn.GRU(input_size, hidden_size, **settings)
            case "RNN":
                self.rnn = nn.RNN(input_size, hidden_size, nonlinearity=activation, **settings)
            case _:
                raise LayerSettingError("Bidirectional", "kind", kind, ("'LSTM'", "'GRU'", "'RNN'"))
        self.state_sizes = (hidden_size,) * (4 if kind == "LSTM" else 2)

    @property
    def inner(self) -> nn.RNNBase:
        """The layer of `torch.nn`."""
        return next(part for part in self.children() if isinstance(part, nn.RNNBase))

    def forward(
        self, x: Tensor, mask: Tensor | None = None, states: Sequence[Tensor] | None = None
    ) -> Output:
        """``(N, T, I)`` to ``(N, T, O)`` or ``(N, O)``; with ``return_state`` also the final states.

        O is H + H for ``"concat"``, else H; with ``merge=None`` there are two outputs.

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
        x = drop(self, x, self.dropout, self.recurrent_dropout)
        inner = self.inner
        count = len(self.state_sizes) // 2
        initial = (
            zero_states(inner, x)
            if states is None
            else tuple(torch.stack(pair) for pair in zip(states[:count], states[count:], strict=True))
        )
        outputs, final = scan(inner, x, mask, initial, self.return_state)
        merged = self._merged(outputs, final[0], mask, states is not None)
        if not self.return_state:
            return merged if self.merge is None else merged[0]
        return *merged, *(state[0] for state in final), *(state[1] for state in final)

    def _merged(
        self, outputs: Tensor, last: Tensor, mask: Tensor | None, started: bool
    ) -> tuple[Tensor, ...]:
        if self.return_sequences:
            if self.merge == "concat":
                return (outputs,)
            one, two = outputs.chunk(2, dim=-1)
            return merge(one, two, self.merge)
        if started:
            last = final_output(last, outputs.shape[1], mask)
        return merge(last[0], last[1], self.merge)

    def extra_repr(self) -> str:
        """The settings that differ from their defaults, for ``print``."""
        return shown(self, SETTINGS)


class BidirectionalPair(nn.Module):
    """Two layers, one for each direction, merged: of any cells, of one size or of two.

    Args:
        forward_layer: in time order.
        backward_layer: has ``reverse`` set.
        merge: as in `Bidirectional`.

    Raises:
        LayerSettingError: ``merge`` is another one.
    """

    def __init__(
        self, forward_layer: Recurrent, backward_layer: Recurrent, *, merge: str | None = "concat"
    ) -> None:
        super().__init__()
        _check_merge(merge)
        self.forward_layer = forward_layer
        self.backward_layer = backward_layer
        self.merge = merge

    def forward(
        self, x: Tensor, mask: Tensor | None = None, states: Sequence[Tensor] | None = None
    ) -> Output:
        """As `Bidirectional.forward`."""
        count = len(self.forward_layer.state_sizes)
        check_states(x, states, (*self.forward_layer.state_sizes, *self.backward_layer.state_sizes))
        first, second = (None, None) if states is None else (states[:count], states[count:])
        one, *final = _listed(self.forward_layer(x, mask=mask, states=first))
        two, *rest = _listed(self.backward_layer(x, mask=mask, states=second))
        if self.backward_layer.return_sequences:
            two = two.flip(1)
        merged = merge(one, two, self.merge)
        if not self.forward_layer.return_state:
            return merged if self.merge is None else merged[0]
        return *merged, *final, *rest

    def extra_repr(self) -> str:
        """The settings that differ from their defaults, for ``print``."""
        return shown(self, ("merge",))


def _listed(output: Output) -> list[Tensor]:
    return list(output) if isinstance(output, tuple) else [output]


def _check_merge(mode: str | None) -> None:
    if mode not in MERGE_MODES:
        raise LayerSettingError("Bidirectional", "merge", mode, map(repr, MERGE_MODES))


def merge(one: Tensor, two: Tensor, mode: str | None) -> tuple[Tensor, ...]:
    """The two directions' outputs, merged into one, or as they are."""
    match mode:
        case "concat":
            return (torch.cat([one, two], dim=-1),)
        case "sum":
            return (one + two,)
        case "mul":
            return (one * two,)
        case "ave":
            return ((one + two) / 2,)
        case _:
            return one, two
