"""Recurrent layers <-> those of `torch_side.layers`; `torch_side.reading.idioms` reads torch's own."""

from __future__ import annotations

from typing import Any

from torch import nn

from biport import ops
from torch_side import layers
from torch_side.reading.layer_call import LayerCall, build
from torch_side.registry import Inputs, Masks, Outputs, StateDict, reads, states, writes
from torch_side.shared.recurrent import (
    KINDS,
    is_native,
    make_layer,
    read_call,
    read_cell,
    read_layer,
    register_kind,
    state_cell,
    state_layer,
    write_call,
)
from torch_side.writing.graph_writer import GraphWriter

register_kind(ops.LSTM, layers.LSTM, "ifco")  # torch.nn.LSTM stacks i f g o; its g is the cell candidate c
register_kind(ops.GRU, layers.GRU, "rzh")  # torch.nn.GRU stacks r z n; its n is the candidate h
register_kind(ops.RNN, layers.RNN, "h")  # torch.nn.RNN has one

SHARED = ("hidden_size", "activation", "dropout", "recurrent_dropout")
"""What a bidirectional layer of `torch.nn` has once for both directions."""

# Of a stack the state is ``cells.0.lstm.weight_ih_l0``, and so on.
states(ops.LSTM, ops.GRU, ops.RNN, ops.StackedRNN)(state_layer)


@writes(ops.LSTM, ops.GRU, ops.RNN, ops.StackedRNN)
def write_recurrent(op: ops.Recurrent, writer: GraphWriter, inputs: Inputs, masks: Masks) -> Outputs:
    """``self.lstm(x, mask=mask)``."""
    return write_call(op, make_layer, writer, inputs, masks)


@reads(layers.LSTM, layers.GRU, layers.RNN, layers.StackedRNN)
def read_recurrent(call: LayerCall) -> Any:
    """One layer, or several on top of each other, one direction."""
    return read_call(call, read_layer(call.owner, call.module))


def is_one_layer(op: ops.Bidirectional) -> bool:
    """Whether one bidirectional layer of `torch.nn` computes both directions."""
    one, two = op.forward, op.backward
    if not isinstance(one, ops.Cell) or not isinstance(two, ops.Cell) or type(one) is not type(two):
        return False
    alike = all(getattr(one, name) == getattr(two, name) for name in SHARED)
    return alike and is_native(one) and is_native(two) and (one.bias_ih is None) == (two.bias_ih is None)


@states(ops.Bidirectional)
def state_bidirectional(op: ops.Bidirectional) -> StateDict:
    """The ``state_dict`` of the layer."""
    one, two = op.forward, op.backward
    if is_one_layer(op):
        assert isinstance(one, ops.Cell)
        assert isinstance(two, ops.Cell)
        attribute = KINDS.lookup(type(one), op.kind).attribute
        tensors = {**state_cell(one, "_l0"), **state_cell(two, "_l0_reverse")}
        return {f"{attribute}.{name}": array for name, array in tensors.items()}
    pair = {"forward_layer": state_layer(one), "backward_layer": state_layer(two)}
    return {
        f"{attribute}.{name}": array for attribute, state in pair.items() for name, array in state.items()
    }


def bidirectional(op: ops.Bidirectional) -> nn.Module:
    """A layer with the op's settings."""
    forward = op.forward
    if not is_one_layer(op):
        return layers.BidirectionalPair(make_layer(forward), make_layer(op.backward), merge=op.merge)
    assert isinstance(forward, ops.Cell)
    return layers.Bidirectional(
        forward.input_size,
        forward.hidden_size,
        kind=forward.kind,
        activation=forward.activation,
        bias=forward.bias_ih is not None,
        return_sequences=forward.return_sequences,
        return_state=forward.return_state,
        merge=op.merge,
        dropout=forward.dropout,
        recurrent_dropout=forward.recurrent_dropout,
    )


@writes(ops.Bidirectional)
def write_bidirectional(op: ops.Bidirectional, writer: GraphWriter, inputs: Inputs, masks: Masks) -> Outputs:
    """``self.bidirectional(x, mask=mask)``; two outputs with ``merge=None``."""
    return write_call(op, bidirectional, writer, inputs, masks)


@reads(layers.Bidirectional)
def read_bidirectional(call: LayerCall) -> Any:
    """Both directions of one layer, and how they are merged."""
    layer, owner = call.module, call.owner
    kind = next(KINDS.lookup(key, owner) for key in KINDS if key.__name__ == layer.kind)
    names = ("return_sequences", "return_state", "dropout", "recurrent_dropout")
    settings: dict[str, Any] = {name: getattr(layer, name) for name in names}
    settings["zero_output_for_mask"] = layer.return_sequences
    if isinstance(layer.inner, nn.RNN):
        settings["activation"] = layer.inner.nonlinearity
    op = build(
        owner,
        ops.Bidirectional,
        forward=read_cell(owner, layer.inner, kind, "_l0", **settings),
        backward=read_cell(owner, layer.inner, kind, "_l0_reverse", reverse=True, **settings),
        merge=layer.merge,
    )
    return read_call(call, op)


@reads(layers.BidirectionalPair)
def read_bidirectional_pair(call: LayerCall) -> Any:
    """Both layers, and how they are merged."""
    layer, owner = call.module, call.owner
    one, two = (read_layer(owner, direction) for direction in (layer.forward_layer, layer.backward_layer))
    op = build(owner, ops.Bidirectional, forward=one, backward=two, merge=layer.merge)
    return read_call(call, op)
