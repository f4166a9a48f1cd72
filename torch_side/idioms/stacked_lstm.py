"""A plain `torch.nn.LSTM`, of one or more layers, read as `ops.LSTM` and `ops.Bidirectional` nodes.

It gives ``output, (h_n, c_n)``. Which ops it is read as depends on what is used: the sequence, or the
final states of its top layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import fx, nn

from biport import ops
from biport.errors import UnsupportedError
from biport.ops import Op
from torch_side.ops.lstm import read_half
from torch_side.reader import Bound, Lazy, Reader, build
from torch_side.registry import reads

STATES = ("h_n[-1] of one direction", "torch.cat([h_n[-2], h_n[-1]], dim=-1) of two")


@dataclass
class Recurrence:
    """A stack of layers that becomes graph nodes when it is known what of it is used."""

    reader: Reader
    node: fx.Node
    source: str
    made: tuple[bool, str] | None = None

    def __post_init__(self) -> None:
        self.owner = self.reader.owner(self.node)
        self.lstm: nn.LSTM = self.reader.module(self.node)
        # Read at once, so that unsupported weights are found even where nothing is used.
        self.layers = [(self.op(layer, True), self.op(layer, False)) for layer in range(self.lstm.num_layers)]

    def op(self, layer: int, return_sequences: bool) -> Op:
        """One layer."""
        settings: dict[str, Any] = {"return_sequences": return_sequences}
        if not self.lstm.bidirectional:
            return read_half(self.owner, self.lstm, f"l{layer}", **settings)
        settings["zero_output_for_mask"] = return_sequences
        forward = read_half(self.owner, self.lstm, f"l{layer}", **settings)
        backward = read_half(self.owner, self.lstm, f"l{layer}_reverse", reverse=True, **settings)
        return build(self.owner, ops.Bidirectional, forward=forward, backward=backward)

    def emit(self, return_sequences: bool, user: str) -> str:
        """The value of the whole sequence or of the last states, made once."""
        if self.made is None:
            self.made = return_sequences, self._emit(return_sequences)
        if self.made[0] != return_sequences:
            raise UnsupportedError(user, "uses", "both output and h_n", "either of them")
        return self.made[1]

    def _emit(self, return_sequences: bool) -> str:
        name, source, top = str(self.node.target), self.source, len(self.layers) - 1
        for layer, (sequence, last) in enumerate(self.layers):
            if layer and self.lstm.dropout:
                between = ops.Dropout(rate=self.lstm.dropout)
                (source,) = self.reader.emit(
                    self.node, between, [source], name=f"{name}.dropout_l{layer - 1}"
                )
            op = sequence if return_sequences or layer < top else last
            (source,) = self.reader.emit(self.node, op, [source], name=f"{name}.l{layer}" if top else name)
        return source


@dataclass
class Output(Lazy):
    """``output``: the sequence, or with ``[:, -1]`` its last step."""

    recurrence: Recurrence

    def value(self, user: str) -> str:
        """The sequence, ``(N, T, D·H)``."""
        return self.recurrence.emit(True, user)

    def item(self, index: Any, user: str) -> Bound:
        """``[:, -1]`` and ``[:, -1, :]`` are the final state, in one direction only."""
        every = slice(None)
        if index in ((every, -1), (every, -1, every)) and not self.recurrence.lstm.bidirectional:
            return self.recurrence.emit(False, user)
        raise UnsupportedError(user, "index", index, ["output[:, -1] of one direction", *STATES])


@dataclass
class States(Lazy):
    """``h_n``, ``(layers·D, N, H)``; or, with ``index``, the state of one layer and direction."""

    recurrence: Recurrence
    index: int | None = None

    def value(self, user: str) -> str:
        """The top layer's final state, ``(N, H)``, if it has one direction."""
        lstm = self.recurrence.lstm
        if self.index != lstm.num_layers - 1 or lstm.bidirectional:
            raise UnsupportedError(user, "uses", self._shown(), STATES)
        return self.recurrence.emit(False, user)

    def item(self, index: Any, user: str) -> Bound:
        """One layer and direction."""
        lstm = self.recurrence.lstm
        count = lstm.num_layers * (1 + lstm.bidirectional)
        if self.index is not None or not isinstance(index, int) or not -count <= index < count:
            raise UnsupportedError(user, "index", index, STATES)
        return States(self.recurrence, index % count)

    def joined(self, others: Sequence[Bound], dim: int, user: str) -> str | None:
        """Both final states of the top layer, forward first."""
        lstm = self.recurrence.lstm
        top = 2 * (lstm.num_layers - 1)
        if not lstm.bidirectional or dim not in (1, -1):
            return None
        if list(others) != [States(self.recurrence, top), States(self.recurrence, top + 1)]:
            return None
        return self.recurrence.emit(False, user)

    def _shown(self) -> str:
        return "h_n" if self.index is None else f"h_n[{self.index}]"


class Cells(Lazy):
    """``c_n``, which no op gives."""

    def value(self, user: str) -> str:
        """Refused."""
        raise UnsupportedError(user, "uses", "c_n", ["output", *STATES])

    def item(self, index: Any, user: str) -> Bound:
        """Refused."""
        raise UnsupportedError(user, "uses", "c_n", ["output", *STATES])


@reads(nn.LSTM)
def read_stacked_lstm(reader: Reader, node: fx.Node) -> Bound:
    """``output, (h_n, c_n)``; initial states and projections are refused."""
    lstm = reader.module(node)
    x, initial = reader.arguments(node, "input", hx=None)
    reader.require(
        node, batch_first=(lstm.batch_first, True), proj_size=(lstm.proj_size, 0), hx=(initial, None)
    )
    recurrence = Recurrence(reader, node, reader.value(node, x))
    return Output(recurrence), (States(recurrence), Cells())
