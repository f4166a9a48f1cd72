"""`ops.StackedRNN` <-> `torch_side.layers.StackedRNN`."""

from __future__ import annotations

from torch import fx

from biport import ops
from torch_side import layers
from torch_side.reader import Bound, Reader
from torch_side.recurrent import make_layer, read_call, read_layer, state_layer, write_call
from torch_side.registry import State, reads, states, writes
from torch_side.writer import Writer


@states(ops.StackedRNN)
def state_stacked_rnn(op: ops.StackedRNN) -> State:
    """The ``state_dict`` of the layer: ``cells.0.lstm.weight_ih_l0``, and so on."""
    return state_layer(op)


@writes(ops.StackedRNN)
def write_stacked_rnn(
    op: ops.StackedRNN, writer: Writer, inputs: list[fx.Node], masks: list[fx.Node | None]
) -> tuple[fx.Node, ...]:
    """``self.rnn(x, mask=mask)``."""
    return write_call(op, make_layer, writer, inputs, masks)


@reads(layers.StackedRNN)
def read_stacked_rnn(reader: Reader, node: fx.Node) -> Bound:
    """The layers of the stack as cells."""
    return read_call(reader, node, read_layer(reader.owner(node), reader.module(node)))
