"""A plain `torch.nn.LSTM`, `torch.nn.GRU` or `torch.nn.RNN`, of one or more layers and one or two directions.

It gives ``output, h_n``, or ``output, (h_n, c_n)``. Which ops it is read as depends on what is used of that:
the sequence, the final output of its top layer, or final states; torch.fx knows the users beforehand.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import fx, nn

from biport import ops
from biport.errors import UnsupportedError
from biport.ops import Op
from torch_side.reading.fx_reader import Bound, FxReader, Lazy, build
from torch_side.registry import reads
from torch_side.shared.recurrent import KINDS, read_cell

LAST_STEP = ((slice(None), -1), (slice(None), -1, slice(None)))
INITIAL = "the final states of a layer of the same kind and shape, or none"


@dataclass
class Recurrence:
    """A stack of layers as graph nodes.

    Args:
        reader: what reads the module.
        node: the call.
        source: the value it is applied to.
        initial: for each layer the values of its initial states; none where they are zeros.
    """

    reader: FxReader
    node: fx.Node
    source: str
    initial: Sequence[Sequence[str]] = ()
    output: str = ""
    states: dict[tuple[str, int], str] = field(default_factory=dict)
    """``(h or c, layer · D + direction)`` to the value; empty where no state is asked for."""

    def __post_init__(self) -> None:
        self.owner = self.reader.owner(self.node)
        self.module: nn.RNNBase = self.reader.module(self.node)
        self.directions = 1 + self.module.bidirectional
        self.kind = next(
            KINDS.lookup(key, self.owner)
            for key in KINDS
            if issubclass(key, Op) and key.__name__ == _name(self.module)
        )
        self.sequence, self.final = self._wanted()
        self._emit()

    def op(self, layer: int, return_sequences: bool) -> Op:
        """One layer."""
        settings: dict[str, Any] = {"return_sequences": return_sequences, "return_state": self.final}
        if isinstance(self.module, nn.RNN):
            settings["activation"] = self.module.nonlinearity
        if not self.module.bidirectional:
            return read_cell(self.owner, self.module, self.kind, f"_l{layer}", **settings)
        settings["zero_output_for_mask"] = return_sequences
        forward = read_cell(self.owner, self.module, self.kind, f"_l{layer}", **settings)
        settings["reverse"] = True
        backward = read_cell(self.owner, self.module, self.kind, f"_l{layer}_reverse", **settings)
        return build(self.owner, ops.Bidirectional, forward=forward, backward=backward)

    def _wanted(self) -> tuple[bool, bool]:
        """Whether the sequence is used, and whether final states are that are not just the last output."""
        parts = {
            part.args[1]: list(_used(part)) for part in _used(self.node) if part.target is operator.getitem
        }
        whole = any(part.target is not operator.getitem for part in _used(self.node))
        last = self.directions == 1
        sequence = whole or any(not (last and _index(user) in LAST_STEP) for user in parts.get(0, []))
        states = parts.get(1, [])
        if not isinstance(self.module, nn.LSTM):
            return sequence, whole or (bool(states) and (sequence or not self._only_top(states)))
        pair = {part.args[1]: list(_used(part)) for part in states if part.target is operator.getitem}
        handed_on = any(part.target is not operator.getitem for part in states)
        hidden = pair.get(0, [])
        final = bool(hidden) and (sequence or not self._only_top(hidden))
        return sequence, whole or handed_on or bool(pair.get(1)) or final

    def _only_top(self, users: Sequence[fx.Node]) -> bool:
        """Whether all that is used of ``h_n`` is the state of the top layer."""
        count = self.module.num_layers * self.directions
        top = range(count - self.directions, count)
        whole = all(user.target is operator.getitem for user in users)
        return whole and all(isinstance(i := _index(user), int) and i % count in top for user in users)

    def _emit(self) -> None:
        name, source, top = str(self.node.target), self.source, self.module.num_layers - 1
        for layer in range(top + 1):
            if layer and self.module.dropout:
                between = ops.Dropout(rate=self.module.dropout)
                path = f"{name}.dropout_l{layer - 1}"
                (source,) = self.reader.emit(self.node, between, [source], name=path)
            op = self.op(layer, self.sequence or layer < top)
            initial = self.initial[layer] if self.initial else ()
            path = f"{name}.l{layer}" if top else name
            source, *states = self.reader.emit(self.node, op, [source, *initial], _no_masks(initial), path)
            names = self.kind.op.states
            for position, state in enumerate(states):
                direction, which = divmod(position, len(names))
                self.states[names[which], layer * self.directions + direction] = state
        self.output = source


def _no_masks(initial: Sequence[str]) -> list[None]:
    return [None] * (1 + len(initial))


def _name(module: nn.RNNBase) -> str:
    return next(name for name in ("LSTM", "GRU", "RNN") if isinstance(module, getattr(nn, name)))


def _used(node: fx.Node) -> Iterator[fx.Node]:
    """The users that are used themselves; unpacking names what nobody reads."""
    return (user for user in node.users if user.users or user.op == "output")


def _index(user: fx.Node) -> Any:
    return user.args[1] if user.target is operator.getitem else None


@dataclass
class SequenceOutput(Lazy):
    """``output``: the sequence, or with ``[:, -1]`` its last step."""

    recurrence: Recurrence

    def value(self, user: str) -> str:
        """The sequence, ``(N, T, D·H)``."""
        return self.recurrence.output

    def item(self, index: Any, user: str) -> Bound:
        """``[:, -1]`` and ``[:, -1, :]`` are the final output, in one direction only."""
        recurrence = self.recurrence
        if index in LAST_STEP and recurrence.directions == 1:
            if not recurrence.sequence:
                return recurrence.output
            if recurrence.final:
                return recurrence.states["h", recurrence.module.num_layers - 1]
        supported = ["output[:, -1] of one direction, with the states or alone", "h_n[i]", "output"]
        raise UnsupportedError(user, "index", index, supported)


@dataclass
class FinalStates(Lazy):
    """``h_n`` or ``c_n``, ``(layers·D, N, H)``; or, with ``index``, the state of one layer and direction."""

    recurrence: Recurrence
    state: str
    index: int | None = None

    def value(self, user: str) -> str:
        """One state, ``(N, H)``."""
        recurrence = self.recurrence
        value = None if self.index is None else recurrence.states.get((self.state, self.index))
        if value is not None:
            return value
        top = self.index == recurrence.module.num_layers - 1 and self.state == "h"
        if top and recurrence.directions == 1 and not recurrence.sequence:
            return recurrence.output
        shown = f"{self.state}_n" + ("" if self.index is None else f"[{self.index}]")
        supported = ("h_n[i] and c_n[i]", "torch.cat([h_n[-2], h_n[-1]], dim=-1) of two directions")
        raise UnsupportedError(user, "uses", shown, supported)

    def item(self, index: Any, user: str) -> Bound:
        """One layer and direction."""
        count = self.recurrence.module.num_layers * self.recurrence.directions
        if self.index is not None or not isinstance(index, int) or not -count <= index < count:
            raise UnsupportedError(user, "index", index, "h_n[i] and c_n[i]")
        return FinalStates(self.recurrence, self.state, index % count)

    def joined(self, others: Sequence[Bound], dim: int, user: str) -> str | None:
        """Both final states of the top layer, forward first: the layer's own output."""
        recurrence = self.recurrence
        top = 2 * (recurrence.module.num_layers - 1)
        if recurrence.final or recurrence.sequence or not recurrence.module.bidirectional:
            return None
        wanted = [FinalStates(recurrence, "h", top), FinalStates(recurrence, "h", top + 1)]
        return recurrence.output if list(others) == wanted and dim in (1, -1) else None


@reads(nn.LSTM, nn.GRU, nn.RNN)
def read_native_recurrence(reader: FxReader, node: fx.Node) -> Bound:
    """``output, h_n`` or ``output, (h_n, c_n)``; projections are refused."""
    module = reader.module(node)
    x, initial = reader.arguments(node, "input", hx=None)
    reader.require(node, batch_first=(module.batch_first, True), proj_size=(module.proj_size, 0))
    states = [] if initial is None else _initial(reader, node, module, reader.look(initial))
    recurrence = Recurrence(reader, node, reader.value(node, x), states)
    if isinstance(module, nn.LSTM):
        return SequenceOutput(recurrence), (FinalStates(recurrence, "h"), FinalStates(recurrence, "c"))
    return SequenceOutput(recurrence), FinalStates(recurrence, "h")


def _initial(reader: FxReader, node: fx.Node, module: nn.RNNBase, given: Bound) -> list[list[str]]:
    """For each layer the values of its initial states: the final ones of a layer alike.

    Raises:
        UnsupportedError: they come from anywhere else.
    """
    names = ("h", "c") if isinstance(module, nn.LSTM) else ("h",)
    parts = given if isinstance(given, tuple) else (given,)
    directions = 1 + module.bidirectional
    fits = len(parts) == len(names) and all(
        isinstance(part, FinalStates)
        and part.index is None
        and len(part.recurrence.states) == module.num_layers * directions * len(names)
        for part in parts
    )
    if not fits:
        raise UnsupportedError(reader.owner(node), "hx", str(node.args[1:] or node.kwargs), INITIAL)
    initial = []
    for layer in range(module.num_layers):
        positions = range(layer * directions, (layer + 1) * directions)
        states = [part.recurrence.states[part.state, i] for i in positions for part in parts]  # type: ignore[union-attr]
        initial.append(states)
    return initial
