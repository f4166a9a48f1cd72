"""Recurrent layers and cells of torch, over padded and over packed sequences."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from biport import ops
from biport.gates import split_gates
from biport.ops import Op
from torch_side.reading.aten_call import AtenCall
from torch_side.reading.layer_call import build
from torch_side.registry import reads_aten
from torch_side.shared.recurrent import KINDS, Kind

CELLS: Mapping[str, type[ops.Cell]] = {
    "lstm": ops.LSTM,
    "gru": ops.GRU,
    "rnn_tanh": ops.RNN,
    "rnn_relu": ops.RNN,
}
"""The op of each of torch's functions."""

TIME_FIRST = ops.PermuteDims(axes=(1, 0, 2))


@dataclasses.dataclass(frozen=True)
class Recurrence:
    """A call of one of torch's recurrent functions, of however many layers and directions.

    Args:
        call: the statement.
        function: of `CELLS`.
        x: ``(N, T, I)``.
        mask: ``(N, T)``, or ``None``.
        hx: the initial states as torch has them, ``(layers · D, N, H)`` each.
        weights: of each layer and direction in turn.
        bias: whether each has two biases.
        layers: how many lie on top of each other.
        dropout: the rate between them.
        bidirectional: whether D is 2.
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

    @cached_property
    def projected(self) -> bool:
        """Whether the state is projected: the weights are one more each."""
        return len(self.weights) % (self.layers * self.directions * (5 if self.bias else 3)) == 0

    @property
    def _count(self) -> int:
        """How many tensors a layer of one direction has."""
        return (4 if self.bias else 2) + self.projected

    @cached_property
    def path(self) -> str:
        """What its layers are called."""
        return self.call.reader.position(self.call.node)[0] or self.function.split("_")[0]

    def read(self) -> tuple[str, list[str]]:
        """The output, ``(N, T, D · H)``, and the final states, ``(layers · D, N, H)`` each."""
        output, final = self.x, []
        for layer in range(self.layers):
            if layer and self.dropout:
                op = ops.Dropout(rate=self.dropout)
                output = self.call.apply(op, output, name=f"{self.path}.dropout_l{layer - 1}")
            output, states = self._layer(layer, output)
            final += states
        count = len(self.hx)
        stacked = [self.call.apply(ops.Stack(axis=0), *final[first::count]) for first in range(count)]
        return output, stacked

    def _layer(self, layer: int, x: str) -> tuple[str, list[str]]:
        """The output of one layer, and the final states of each direction in turn."""
        positions = range(layer * self.directions, (layer + 1) * self.directions)
        start = [state for position in positions for state in self._initial(position)]
        op = self._op(layer)
        key = ("recurrence", *(weight for position in positions for weight in self._own(position)))
        masks = [self.mask, *[None] * len(start)]
        name = f"{self.path}.l{layer}" if self.layers > 1 else self.path
        outputs = self.call.emit(op, x, *start, masks=masks, name=name, key=key)
        self.call.reader.give_all.add(outputs[0])
        if not self.projected:
            return outputs[0], list(outputs[1:])
        split = self.directions
        results = [self._projection(positions[i], outputs[i], name) for i in range(split)]
        states = list(outputs[split:])
        for i, position in enumerate(positions):
            states[2 * i] = self._projection(position, states[2 * i], name)
        joined = results[0] if split == 1 else self.call.apply(ops.Concatenate(), *results)
        return joined, states

    def _own(self, position: int) -> Sequence[Any]:
        """The weights of one layer and direction."""
        return self.weights[position * self._count : (position + 1) * self._count]

    def _initial(self, position: int) -> list[str]:
        """The initial states of a layer and direction; none where all are zeros."""
        if all(map(self.call.reader.is_zero, self.hx)):
            return []
        if self.projected:
            # A projection has no inverse: no state of H numbers is known that gives these.
            raise self.call.refuse("initial states of a layer with proj_size", "given", "zeros")
        return [self.call.apply(ops.Slice(items=(position,)), self.call.value(state)) for state in self.hx]

    def _op(self, layer: int) -> Op:
        settings = settings_of(self.function) | {"return_sequences": True, "return_state": True}
        if not self.bidirectional:
            return self._cell(layer, **settings, zero_output_for_mask=self.mask is not None)
        settings["zero_output_for_mask"] = True
        forward = self._cell(2 * layer, **settings)
        backward = self._cell(2 * layer + 1, reverse=True, **settings)
        merge = None if self.projected else "concat"
        return build(self.call.owner, ops.Bidirectional, forward=forward, backward=backward, merge=merge)

    def _cell(self, position: int, **settings: Any) -> ops.Cell:
        kind = KINDS.lookup(CELLS[self.function], self.call.owner)
        own = self._own(position)
        projection = own[-1] if self.projected else None
        return read_cell(self.call, kind, own, projection, **settings)

    def _projection(self, position: int, x: str, name: str) -> str:
        """``x @ weight_hr.T``."""
        given = self._own(position)[-1]
        weight = self.call.array(given)
        assert weight is not None
        out, size = weight.shape
        op = build(self.call.owner, ops.Dense, input_size=size, output_size=out, weight=weight, bias=None)
        return self.call.apply(op, x, name=f"{name}.projection", key=("linear", given, None))


def settings_of(function: str) -> dict[str, Any]:
    """The activation of a plain recurrence."""
    return {"activation": function.removeprefix("rnn_")} if function.startswith("rnn") else {}


def read_cell(
    call: AtenCall, kind: Kind, weights: Sequence[Any], projection: Any = None, **settings: Any
) -> ops.Cell:
    """The op of a cell of torch with these weights: two matrices, and two biases if it has any.

    With a projection ``P`` the cell feeds ``h Pᵀ`` back. Since ``(h Pᵀ) Rᵀ = h (R P)ᵀ``, that is a plain cell
    with the recurrent weight ``R P``, and a projection of what it gives behind it.
    """
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    count = len(weights) - (projection is not None)
    tensors: dict[str, Any] = {
        name: call.array(weight) for name, weight in zip(names, weights[:count], strict=False)
    }
    if projection is not None:
        wide = tensors["weight_hh"].astype("float64") @ np.asarray(call.array(projection), "float64")
        tensors["weight_hh"] = wide.astype(tensors["weight_ih"].dtype)
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
    return _read(call, call["kind"], "x", call["hx"], call["weights"], call["bias"], call["layers"])


@reads_aten("lstm.input", "gru.input", "rnn_tanh.input", "rnn_relu.input")
def read_function(call: AtenCall) -> tuple[str, ...]:
    """The same as functions of aten, as they are in a program that others exported."""
    hx = call["hx"] if call.name == "lstm" else [call["hx"]]
    return _read(call, call.name, "input", hx, call["params"], call["has_biases"], call["num_layers"])


@reads_aten("lstm.data", "gru.data", "rnn_tanh.data", "rnn_relu.data")
def refuse_packed(call: AtenCall) -> tuple[str, ...]:
    """Over the rows of a packed sequence one behind the other; how many there are is not known."""
    supported = "the module itself, whose packed sequences are read as padded ones"
    raise call.refuse("input", "a packed sequence in a program that torch.export wrote", supported)


def _read(
    call: AtenCall,
    function: str,
    source: str,
    hx: Sequence[Any],
    weights: Sequence[Any],
    bias: bool,
    layers: int,
) -> tuple[str, ...]:
    x, first = call.value(source), call["batch_first"]
    x = x if first else call.apply(TIME_FIRST, x)
    mask = mask_of(call, call["lengths"], x) if call.has("lengths") else None
    recurrence = Recurrence(
        call, function, x, mask, hx, weights, bias, layers, call["dropout"], call["bidirectional"]
    )
    output, states = recurrence.read()
    return (output if first else call.apply(TIME_FIRST, output), *states)


@reads_aten("biport.cell.default")
def read_cell_call(call: AtenCall) -> tuple[str, ...]:
    """`nn.LSTMCell`, `nn.GRUCell` and `nn.RNNCell`."""
    return _step(call, call["kind"], "x", call["hx"], call["weights"])


@reads_aten("lstm_cell.default", "gru_cell.default", "rnn_tanh_cell.default", "rnn_relu_cell.default")
def read_cell_function(call: AtenCall) -> str | tuple[str, ...]:
    """The same as functions of aten."""
    names = ("w_ih", "w_hh", "b_ih", "b_hh")
    weights = [call[name] for name in names if call.has(name)]
    hx = call["hx"] if call.name == "lstm_cell" else [call["hx"]]
    states = _step(call, call.name, "input", hx, weights)
    return states if call.name == "lstm_cell" else states[0]


def _step(
    call: AtenCall, function: str, source: str, hx: Sequence[Any], weights: Sequence[Any]
) -> tuple[str, ...]:
    """The states behind one step: a layer over a sequence of that step that begins in the states."""
    function = function.removesuffix("_cell")
    kind = KINDS.lookup(CELLS[function], call.owner)
    # The output of one step is the state h; only an LSTM has another one.
    op = read_cell(call, kind, weights, return_state=function == "lstm", **settings_of(function))
    step = call.apply(ops.ExpandDims(axes=(1,)), call.value(source))
    path = call.reader.position(call.node)[0] or None
    start = [] if all(map(call.reader.is_zero, hx)) else [call.value(state) for state in hx]
    outputs = call.emit(op, step, *start, name=path, key=("cell", *weights))
    return outputs[-len(hx) :]
