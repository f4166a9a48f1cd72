"""`ops.RNN` <-> `torch_side.layers.RNN`; a plain `torch.nn.RNN` is read by `torch_side.idioms`."""

from __future__ import annotations

from torch import fx

from biport import ops
from torch_side import layers
from torch_side.reader import Bound, Reader
from torch_side.recurrent import keep_kind, make_layer, read_call, read_layer, state_layer, write_call
from torch_side.registry import State, reads, states, writes
from torch_side.writer import Writer

ORDER = "h"  # torch.nn.RNN has one

keep_kind(ops.RNN, layers.RNN, ORDER)


@states(ops.RNN)
def state_rnn(op: ops.RNN) -> State:
    """The ``state_dict`` of the layer."""
    return state_layer(op)


@writes(ops.RNN)
def write_rnn(
    op: ops.RNN, writer: Writer, inputs: list[fx.Node], masks: list[fx.Node | None]
) -> tuple[fx.Node, ...]:
    """``self.rnn(x, mask=mask)``."""
    return write_call(op, make_layer, writer, inputs, masks)


@reads(layers.RNN)
def read_rnn(reader: Reader, node: fx.Node) -> Bound:
    """One layer, one direction."""
    return read_call(reader, node, read_layer(reader.owner(node), reader.module(node)))
