"""Recurrent layers <-> `nn.LSTM`, `nn.GRU` and `nn.RNN`, or those of `torch_side.layers` that are alike.

A layer gives the outputs at every step and its final states; what of these is wanted, and in which order,
is said by the statements around it.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn

from biport import ops
from torch_side import layers
from torch_side.ops import conv_lstm
from torch_side.reading.layer_call import LayerCall, build
from torch_side.registry import STATES, Inputs, Masks, Outputs, StateDict, reads, states, writes
from torch_side.shared.activations import activation_name
from torch_side.shared.channels import write_features_dropped
from torch_side.shared.recurrent import freeze_second_biases, is_native, layer_of, read_cell, state_cell
from torch_side.writing.graph_writer import GraphWriter

FORWARD, BACKWARD, CELL = "forward_layer", "backward_layer", "cell_"
"""Parts of a layer that torch has no single one for."""

SHARED = ("hidden_size", "activation", "dropout")
"""What a bidirectional layer of `torch.nn` has once for both directions."""


@states(ops.LSTM, ops.GRU, ops.RNN)
def state_recurrent(op: ops.Cell) -> StateDict:
    """The ``state_dict`` of the layer."""
    return state_cell(op)


@states(ops.StackedRNN)
def state_stacked(op: ops.StackedRNN) -> StateDict:
    """``cell_0.weight_ih_l0`` and so on."""
    return _parts({f"{CELL}{number}": state_cell(cell) for number, cell in enumerate(op.cells)})


@states(ops.Bidirectional)
def state_bidirectional(op: ops.Bidirectional) -> StateDict:
    """The ``state_dict`` of the layer, or of both."""
    one, two = op.forward, op.backward
    if is_one_layer(op):
        assert isinstance(one, ops.Cell)
        assert isinstance(two, ops.Cell)
        return {**state_cell(one), **state_cell(two, "_l0_reverse")}
    pair = {FORWARD: one, BACKWARD: two}
    each = {part: STATES.lookup(type(layer), op.kind)(layer) for part, layer in pair.items()}
    return _parts(each)


def _parts(states_of: dict[str, StateDict]) -> StateDict:
    return {f"{part}.{name}": array for part, state in states_of.items() for name, array in state.items()}


def is_one_layer(op: ops.Bidirectional) -> bool:
    """Whether one bidirectional layer of `torch.nn` computes both directions."""
    one, two = op.forward, op.backward
    if not isinstance(one, ops.Cell) or not isinstance(two, ops.Cell) or type(one) is not type(two):
        return False
    alike = all(getattr(one, name) == getattr(two, name) for name in SHARED)
    return alike and is_native(one) and is_native(two) and (one.bias_ih is None) == (two.bias_ih is None)


@writes(ops.LSTM, ops.GRU, ops.RNN, ops.StackedRNN)
def write_recurrent(op: ops.Recurrent, writer: GraphWriter, inputs: Inputs, masks: Masks) -> Outputs:
    """``lstm = self.lstm(x)``, then ``lstm[0]``, the outputs, or ``lstm[1][0][0]``, the last of them."""
    x, *start = inputs
    output, final = write_direction(op, writer, x, masks[0], start)
    return (output, *final) if op.return_state else (output,)


@writes(ops.Bidirectional)
def write_bidirectional(op: ops.Bidirectional, writer: GraphWriter, inputs: Inputs, masks: Masks) -> Outputs:
    """``bilstm = self.bilstm(x)``, then ``bilstm[0]``, or both last outputs in one."""
    x, *start = inputs
    write = _write_one_layer if is_one_layer(op) else _write_pair
    outputs, final = write(op, writer, x, masks[0], start)
    return (*outputs, *final) if op.forward.return_state else tuple(outputs)


@dataclass(frozen=True)
class Wanted:
    """What of a layer is wanted; as in `ops.Recurrent`."""

    return_sequences: bool
    return_state: bool
    zero_output_for_mask: bool

    @classmethod
    def of(cls, op: ops.Recurrent) -> Wanted:
        """What an op gives."""
        return cls(op.return_sequences, op.return_state, op.zero_output_for_mask)


Direction = tuple[Any, list[Any]]
"""An output and the final states of a direction."""


def write_direction(
    op: ops.Recurrent,
    writer: GraphWriter,
    x: fx.Node,
    mask: fx.Node | None,
    start: Sequence[fx.Node],
    part: str = "",
) -> Direction:
    """A layer of one direction, or cells on top of each other as so many layers."""
    if isinstance(op, ops.ConvolutionalLSTM):
        return conv_lstm.write_direction(op, writer, x, mask, start, part)
    if op.reverse:
        x = writer.method("flip", x, 1)
        mask = None if mask is None else writer.method("flip", mask, 1)
    if isinstance(op, ops.Cell):
        return _write_cell(op, Wanted.of(op), writer, x, mask, start, part)
    assert isinstance(op, ops.StackedRNN)
    below = Wanted(return_sequences=True, return_state=op.return_state, zero_output_for_mask=True)
    final: list[Any] = []
    for number, cell in enumerate(op.cells):
        own, start = start[: len(cell.states)], start[len(cell.states) :]
        wanted = Wanted.of(op) if cell is op.cells[-1] else below
        x, states_of = _write_cell(cell, wanted, writer, x, mask, own, f"{part}.{CELL}{number}")
        final += states_of
    return x, final


def _write_cell(
    op: ops.Cell,
    wanted: Wanted,
    writer: GraphWriter,
    x: fx.Node,
    mask: fx.Node | None,
    start: Sequence[fx.Node],
    part: str,
) -> Direction:
    zero = mask is None or not wanted.return_sequences or wanted.zero_output_for_mask
    states_of = [writer.method("unsqueeze", state, 0) for state in start]
    result = _call([op], writer, x, mask, states_of, part, zero_output=zero)
    final = _final(op, writer, result, wanted)
    if wanted.return_sequences:
        output = writer.call(operator.getitem, result, 0)
    else:
        output = writer.call(operator.getitem, final[0], 0)
        if mask is not None and wanted.zero_output_for_mask:
            output = writer.method("masked_fill", output, _not(writer, _last_step(writer, mask)), 0)
        elif start:
            output = _last_output(writer, output, mask)
    if not wanted.return_state:
        return output, []
    return output, [writer.call(operator.getitem, state, 0) for state in final]


def _call(
    directions: Sequence[ops.Cell],
    writer: GraphWriter,
    x: fx.Node,
    mask: fx.Node | None,
    states_of: Sequence[fx.Node],
    part: str = "",
    **settings: bool,
) -> fx.Node:
    """``self.lstm(x, (h, c), mask=mask)``, of what is left of ``x`` in training."""
    op = directions[0]
    if op.dropout and is_native(op):
        x = write_features_dropped(writer, x, op.dropout, f"{part}_dropout")
    own = mask is not None or not is_native(op)
    given = [x]
    if states_of:
        given.append(tuple(states_of) if len(states_of) > 1 else states_of[0])  # type: ignore[arg-type]

    def build_layer(_: Any) -> nn.Module:
        layer = layer_of(op, mask is not None, **settings)
        if writer.biases == "one":
            freeze_second_biases(layer, directions)
        return layer

    return writer.module(build_layer, *given, part=part, mask=mask if own else None)


def _final(op: ops.Cell, writer: GraphWriter, result: fx.Node, wanted: Wanted) -> list[fx.Node]:
    """The final states that are wanted, ``(D, N, H)`` each."""
    if wanted.return_sequences and not wanted.return_state:
        return []
    final = writer.call(operator.getitem, result, 1)
    if len(op.states) == 1:
        return [final]
    count = len(op.states) if wanted.return_state else 1
    return [writer.call(operator.getitem, final, number) for number in range(count)]


def _last_step(writer: GraphWriter, mask: fx.Node) -> fx.Node:
    """``mask[:, -1:]``."""
    return writer.call(operator.getitem, mask, (slice(None), slice(-1, None)))


def _not(writer: GraphWriter, mask: fx.Node) -> fx.Node:
    return writer.call(operator.invert, mask)


def _last_output(writer: GraphWriter, last: fx.Node, mask: fx.Node | None) -> fx.Node:
    """The last output of a layer that began with states given to it.

    A row without a valid step ends in its initial state, but has given no output: zeros.
    """
    if mask is None:
        return last
    valid = writer.method("any", mask, dim=1, keepdim=True)
    return writer.method("masked_fill", last, _not(writer, valid), 0)


def _write_one_layer(
    op: ops.Bidirectional,
    writer: GraphWriter,
    x: fx.Node,
    mask: fx.Node | None,
    start: Sequence[fx.Node],
) -> tuple[Sequence[Any], list[Any]]:
    """A bidirectional layer of torch."""
    one, two = op.forward, op.backward
    assert isinstance(one, ops.Cell)
    assert isinstance(two, ops.Cell)
    count = len(one.states)
    pairs = zip(start[:count], start[count:], strict=True)
    states_of = [writer.call(torch.stack, list(pair)) for pair in pairs]
    result = _call([one, two], writer, x, mask, states_of, bidirectional=True)
    wanted = Wanted.of(one)
    final = _final(one, writer, result, wanted)
    if wanted.return_sequences:
        outputs = writer.call(operator.getitem, result, 0)
        if op.merge == "concat":
            merged: Sequence[Any] = (outputs,)
        else:
            both = writer.method("chunk", outputs, 2, dim=-1)
            merged = merge(writer, op.merge, *(writer.call(operator.getitem, both, at) for at in (0, 1)))
    else:
        last = [writer.call(operator.getitem, final[0], at) for at in (0, 1)]
        last = [_last_output(writer, state, mask) for state in last] if start else last
        merged = merge(writer, op.merge, *last)
    if not wanted.return_state:
        return merged, []
    return merged, [writer.call(operator.getitem, state, at) for at in (0, 1) for state in final]


def _write_pair(
    op: ops.Bidirectional,
    writer: GraphWriter,
    x: fx.Node,
    mask: fx.Node | None,
    start: Sequence[fx.Node],
) -> tuple[Sequence[Any], list[Any]]:
    """A layer for each direction."""
    count = len(op.forward.state_sizes)
    one, first = write_direction(op.forward, writer, x, mask, start[:count], f".{FORWARD}")
    two, second = write_direction(op.backward, writer, x, mask, start[count:], f".{BACKWARD}")
    if op.backward.return_sequences:
        two = writer.method("flip", two, 1)
    return merge(writer, op.merge, one, two), [*first, *second]


def merge(writer: GraphWriter, mode: str | None, one: fx.Node, two: fx.Node) -> Sequence[fx.Node]:
    """The outputs of both directions, merged into one, or as they are."""
    match mode:
        case "concat":
            return (writer.call(torch.cat, [one, two], dim=-1),)
        case "sum":
            return (writer.call(operator.add, one, two),)
        case "mul":
            return (writer.call(operator.mul, one, two),)
        case "ave":
            return (writer.call(operator.truediv, writer.call(operator.add, one, two), 2),)
        case _:
            return one, two


@reads(layers.MaskedLSTM, layers.MaskedGRU, layers.MaskedRNN)
def read_masked(call: LayerCall) -> Any:
    """A layer under a mask: the outputs, and the final states as torch has them."""
    layer = call.module
    settings: dict[str, Any] = {"activation": layer.nonlinearity} if isinstance(layer, nn.RNN) else {}
    return _read(call, settings)


@reads(layers.LoopedLSTM, layers.LoopedGRU, layers.LoopedRNN)
def read_looped(call: LayerCall) -> Any:
    """A layer of any cell."""
    layer = call.module
    settings: dict[str, Any] = {
        "dropout": layer.input_dropout,
        "recurrent_dropout": layer.recurrent_dropout,
    }
    if isinstance(layer, nn.GRU):
        settings["reset_after"] = layer.reset_after
    for name in ("activation", "recurrent_activation"):
        if (module := getattr(layer, name, None)) is not None:
            settings[name] = activation_name(module)
            call.require(**{name: (settings[name] is not None, True)})
    return _read(call, settings)


def _read(call: LayerCall, settings: dict[str, Any]) -> Any:
    layer, owner = call.module, call.owner
    x, hx, mask = call.arguments("input", hx=None, mask=None)
    start = [] if hx is None else list(hx) if isinstance(hx, tuple | list) else [hx]
    zero = layer.zero_output_for_mask
    settings |= {"return_sequences": True, "return_state": True, "zero_output_for_mask": zero}
    if layer.bidirectional:
        call.require(zero_output_for_mask=(zero, True))
        backward = read_cell(owner, layer, "_reverse", reverse=True, **settings)
        op = build(owner, ops.Bidirectional, forward=read_cell(owner, layer, **settings), backward=backward)
    else:
        op = read_cell(owner, layer, **settings)
    directions = 2 if layer.bidirectional else 1
    states_of = [
        call.emit(ops.Slice(items=(at,)), [call.value(state)])[0]
        for at in range(directions)
        for state in start
    ]
    masks = [None if mask is None else call.value(mask), *[None] * len(states_of)]
    output, *final = call.emit(op, [call.value(x), *states_of], masks)
    count = len(final) // directions
    stacked = [call.emit(ops.Stack(axis=0), final[at::count])[0] for at in range(count)]
    return output, tuple(stacked) if count > 1 else stacked[0]
