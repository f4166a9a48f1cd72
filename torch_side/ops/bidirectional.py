"""`ops.Bidirectional` <-> `torch_side.layers.Bidirectional`, around one layer of `torch.nn`, or a pair."""

from __future__ import annotations

from typing import Any

from torch import fx, nn

from biport import ops
from torch_side import layers
from torch_side.reader import Bound, Reader, build
from torch_side.recurrent import (
    KINDS,
    is_native,
    make_layer,
    read_call,
    read_cell,
    read_layer,
    state_cell,
    state_layer,
    write_call,
)
from torch_side.registry import State, reads, states, writes
from torch_side.writer import Writer

SHARED = ("hidden_size", "activation", "dropout", "recurrent_dropout")
"""What a bidirectional layer of `torch.nn` has once for both halves."""


def is_one_layer(op: ops.Bidirectional) -> bool:
    """Whether one bidirectional layer of `torch.nn` computes both halves."""
    one, two = op.forward, op.backward
    if not isinstance(one, ops.Cell) or not isinstance(two, ops.Cell) or type(one) is not type(two):
        return False
    alike = all(getattr(one, name) == getattr(two, name) for name in SHARED)
    return alike and is_native(one) and is_native(two) and (one.bias_ih is None) == (two.bias_ih is None)


@states(ops.Bidirectional)
def state_bidirectional(op: ops.Bidirectional) -> State:
    """The ``state_dict`` of the layer."""
    one, two = op.forward, op.backward
    if is_one_layer(op):
        assert isinstance(one, ops.Cell)
        assert isinstance(two, ops.Cell)
        place = KINDS.lookup(type(one), op.kind).attribute
        tensors = {**state_cell(one, "_l0"), **state_cell(two, "_l0_reverse")}
        return {f"{place}.{name}": array for name, array in tensors.items()}
    halves = {"forward_layer": state_layer(one), "backward_layer": state_layer(two)}
    return {f"{place}.{name}": array for place, state in halves.items() for name, array in state.items()}


def bidirectional(op: ops.Bidirectional) -> nn.Module:
    """A layer with the op's settings."""
    half = op.forward
    if not is_one_layer(op):
        return layers.BidirectionalPair(make_layer(half), make_layer(op.backward), merge=op.merge)
    assert isinstance(half, ops.Cell)
    return layers.Bidirectional(
        half.input_size,
        half.hidden_size,
        kind=half.kind,
        activation=half.activation,
        bias=half.bias_ih is not None,
        return_sequences=half.return_sequences,
        return_state=half.return_state,
        merge=op.merge,
        dropout=half.dropout,
        recurrent_dropout=half.recurrent_dropout,
    )


@writes(ops.Bidirectional)
def write_bidirectional(
    op: ops.Bidirectional, writer: Writer, inputs: list[fx.Node], masks: list[fx.Node | None]
) -> tuple[fx.Node, ...]:
    """``self.bidirectional(x, mask=mask)``; two outputs with ``merge=None``."""
    return write_call(op, bidirectional, writer, inputs, masks)


@reads(layers.Bidirectional)
def read_bidirectional(reader: Reader, node: fx.Node) -> Bound:
    """Both halves of one layer, and how they are merged."""
    layer, owner = reader.module(node), reader.owner(node)
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
    return read_call(reader, node, op)


@reads(layers.BidirectionalPair)
def read_bidirectional_pair(reader: Reader, node: fx.Node) -> Bound:
    """Both layers, and how they are merged."""
    layer, owner = reader.module(node), reader.owner(node)
    one, two = (read_layer(owner, half) for half in (layer.forward_layer, layer.backward_layer))
    return read_call(
        reader, node, build(owner, ops.Bidirectional, forward=one, backward=two, merge=layer.merge)
    )
