"""`ops.LSTM` <-> `torch_side.layers.LSTM`; a plain `torch.nn.LSTM` is read by `torch_side.idioms`."""

from __future__ import annotations

from torch import fx

from biport import ops
from torch_side import layers
from torch_side.reader import Bound, Reader
from torch_side.recurrent import keep_kind, make_layer, read_call, read_layer, state_layer, write_call
from torch_side.registry import State, reads, states, writes
from torch_side.writer import Writer

ORDER = "ifco"  # torch.nn.LSTM stacks i f g o; its g is the cell candidate c

keep_kind(ops.LSTM, layers.LSTM, ORDER)


@states(ops.LSTM)
def state_lstm(op: ops.LSTM) -> State:
    """The ``state_dict`` of the layer."""
    return state_layer(op)


@writes(ops.LSTM)
def write_lstm(
    op: ops.LSTM, writer: Writer, inputs: list[fx.Node], masks: list[fx.Node | None]
) -> tuple[fx.Node, ...]:
    """``self.lstm(x, mask=mask)``."""
    return write_call(op, make_layer, writer, inputs, masks)


@reads(layers.LSTM)
def read_lstm(reader: Reader, node: fx.Node) -> Bound:
    """One layer, one direction."""
    return read_call(reader, node, read_layer(reader.owner(node), reader.module(node)))
