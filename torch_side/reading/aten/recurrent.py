"""Recurrent layers and cells of torch, over padded and over packed sequences."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from biport import ops
from biport.gates import split_gates
from biport.ops import Op
from torch_side.reading.aten_call import AtenCall
from torch_side.reading.layer_call import build
from torch_side.registry import reads_aten
from torch_side.shared.recurrent import KINDS, Kind

TANH = {"lstm": ops.LSTM, "gru": ops.GRU, "rnn_tanh": ops.RNN, "rnn_relu": ops.RNN}
"""The op of each of torch's functions."""


@dataclasses.dataclass(frozen=True)
class Recurrence:
    """A call of one of torch's recurrent functions, of however many layers and directions.

    Args:
        function: ``"lstm"``, ``"gru"``, ``"rnn_tanh"`` or ``"rnn_relu"``.
        x: ``(N, T, I)``.
        mask: ``(N, T)``, or ``None``.
        hx: the initial states as torch has them, ``(layers · D, N, H)`` each.
        weights: of each layer and direction in turn.
    """

    call: AtenCall
    function: str
    x: str
    mask: str | None
    hx: Sequence[Any]
    weights: Sequence[Any]
    bias: bool
    layers: int
    dropout: float
    bidirectional: bool

    @property
    def directions(self) -> int:
        """D."""
        return 1 + self.bidirectional

    @property
    def kind(self) -> Kind:
        """Its cell."""
        return KINDS.lookup(TANH[self.function], self.call.owner)

    def read(self) -> tuple[str, list[str]]:
        """The output, ``(N, T, D · H)``, and the final states, ``(layers · D, N, H)`` each."""
        final: list[list[str]] = [[] for _ in self.kind.op.states]
        initial = [self._initial(position) for position in range(self.layers * self.directions)]
        some = any(states is not None for states in initial)
        output, path = self.x, self.call.reader.position(self.call.node)[0] or self.function.split("_")[0]
        for layer in range(self.layers):
            if layer and self.dropout:
                op = ops.Dropout(rate=self.dropout)
                output = self.call.apply(op, output, name=f"{path}.dropout_l{layer - 1}")
            positions = range(layer * self.directions, (layer + 1) * self.directions)
            start = [state for position in positions for state in self._started(initial[position], some)]
            name = f"{path}.l{layer}" if self.layers > 1 else path
            masks = [self.mask, *[None] * len(start)]
            key = [
                self.weights[position * self._count + i] for position in positions for i in range(self._count)
            ]
            output, *states = self.call.emit(
                self._op(layer), output, *start, masks=masks, name=name, key=("recurrence", *key)
            )
            for position, state in enumerate(states):
                final[position % len(final)].append(state)
        stacked = [self.call.apply(ops.Stack(axis=0), *states) for states in final]
        return output, stacked

    @property
    def _count(self) -> int:
        """How many tensors a layer of one direction has."""
        return 4 if self.bias else 2

    def _initial(self, position: int) -> list[str] | None:
        """The initial states of a layer and direction; ``None`` where they are zeros."""
        if all(map(self.call.reader.is_zero, self.hx)):
            return None
        whole = [slice(None)] * 2
        return [
            self.call.apply(ops.Slice(items=(position, *map(_item, whole))), self.call.value(state))
            for state in self.hx
        ]

    def _started(self, states: list[str] | None, some: bool) -> list[str]:
        return [] if states is None or not some else states

    def _op(self, layer: int) -> Op:
        settings: dict[str, Any] = {"return_sequences": True, "return_state": True}
        settings["zero_output_for_mask"] = self.mask is not None
        if self.kind.op is ops.RNN:
            settings["activation"] = self.function.removeprefix("rnn_")
        if not self.bidirectional:
            return self._cell(layer, **settings)
        settings["zero_output_for_mask"] = True
        forward = self._cell(2 * layer, **settings)
        backward = self._cell(2 * layer + 1, reverse=True, **settings)
        return build(self.call.owner, ops.Bidirectional, forward=forward, backward=backward)

    def _cell(self, position: int, **settings: Any) -> ops.Cell:
        first = position * self._count
        return read_cell(self.call, self.kind, self.weights[first : first + self._count], **settings)


def _item(whole: slice) -> Any:
    return ops.shaping.WHOLE


def read_cell(call: AtenCall, kind: Kind, weights: Sequence[Any], **settings: Any) -> ops.Cell:
    """The op of a cell of torch with these weights: two matrices, and two biases if it has any."""
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    tensors: dict[str, Any] = {
        name: call.array(weight) for name, weight in zip(names, weights, strict=False) if weight is not None
    }
    # By bits, because adding -0.0 or dropping it is not the same thing bit for bit.
    if "bias_hh" in tensors and kind.op is not ops.GRU and not any(tensors["bias_hh"].tobytes()):
        del tensors["bias_hh"]
    size, hidden = tensors["weight_ih"].shape[1], tensors["weight_hh"].shape[1]
    fields: dict[str, Any] = {"bias_ih": None, "bias_hh": None}
    fields |= {name: split_gates(array, kind.order) for name, array in tensors.items()}
    return build(call.owner, kind.op, input_size=size, hidden_size=hidden, **settings, **fields)


def mask_of(call: AtenCall, lengths: Any, x: str) -> str:
    """The mask ``(N, T)`` of rows of these lengths."""
    rows = call.value(lengths)
    steps = call.tensor(x).shape[1]
    columns = call.apply(ops.Arange(stop=steps, output_dtype=call.dtype(rows)))
    wide = call.apply(ops.ExpandDims(axes=(1,)), rows)
    return call.compute("less", columns, wide)


@reads_aten("biport.recurrence.default")
def read_recurrence(call: AtenCall) -> tuple[str, ...]:
    """`nn.LSTM`, `nn.GRU` and `nn.RNN`, of several layers, over padded or packed sequences."""
    return _read(call, call["kind"], call["hx"], call["weights"], call["bias"], call["layers"])


@reads_aten("lstm.input", "gru.input", "rnn_tanh.input", "rnn_relu.input")
def read_function(call: AtenCall) -> tuple[str, ...]:
    """The same as functions of aten, as they are in a program that others exported."""
    hx = call["hx"] if call.name == "lstm" else [call["hx"]]
    return _read(call, call.name, hx, call["params"], call["has_biases"], call["num_layers"])


def _read(
    call: AtenCall, function: str, hx: Sequence[Any], weights: Sequence[Any], bias: bool, layers: int
) -> tuple[str, ...]:
    x = call.value(call.arguments.get("x", call.arguments.get("input")))
    if function == "lstm" and call.reader.shape_of(hx[0])[-1] != call.reader.shape_of(hx[1])[-1]:
        raise call.refuse("proj_size", call.reader.shape_of(hx[0])[-1], "0")
    swap = ops.PermuteDims(axes=(1, 0, 2))
    x = x if call["batch_first"] else call.apply(swap, x)
    mask = mask_of(call, call["lengths"], x) if call.has("lengths") else None
    recurrence = Recurrence(
        call, function, x, mask, hx, weights, bias, layers, call["dropout"], call["bidirectional"]
    )
    output, states = recurrence.read()
    return (output if call["batch_first"] else call.apply(swap, output), *states)


@reads_aten("biport.cell.default")
def read_cell_call(call: AtenCall) -> tuple[str, ...]:
    """`nn.LSTMCell`, `nn.GRUCell` and `nn.RNNCell`: a layer over one step that begins in the states."""
    function = call["kind"].removesuffix("_cell")
    kind = KINDS.lookup(TANH[function], call.owner)
    settings: dict[str, Any] = {"return_sequences": False, "return_state": True}
    if kind.op is ops.RNN:
        settings["activation"] = function.removeprefix("rnn_")
    op = read_cell(call, kind, call["weights"], **settings)
    step = call.apply(ops.ExpandDims(axes=(1,)), call.value("x"))
    path = call.reader.position(call.node)[0] or None
    start = [] if all(map(call.reader.is_zero, call["hx"])) else [call.value(state) for state in call["hx"]]
    _, *states = call.emit(op, step, *start, name=path, key=("cell", *call["weights"]))
    return tuple(states)


ZERO = np.zeros(1)
FUNCTIONS = torch
