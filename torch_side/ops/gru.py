"""`ops.GRU` <-> `torch_side.layers.GRU`; a plain `torch.nn.GRU` is read by `torch_side.idioms`."""

from __future__ import annotations

from torch import fx

from biport import ops
from torch_side import layers
from torch_side.reader import Bound, Reader
from torch_side.recurrent import keep_kind, make_layer, read_call, read_layer, state_layer, write_call
from torch_side.registry import State, reads, states, writes
from torch_side.writer import Writer

ORDER = "rzh"  # torch.nn.GRU stacks r z n; its n is the candidate h

keep_kind(ops.GRU, layers.GRU, ORDER)


@states(ops.GRU)
def state_gru(op: ops.GRU) -> State:
    """The ``state_dict`` of the layer."""
    return state_layer(op)


@writes(ops.GRU)
def write_gru(
    op: ops.GRU, writer: Writer, inputs: list[fx.Node], masks: list[fx.Node | None]
) -> tuple[fx.Node, ...]:
    """``self.gru(x, mask=mask)``."""
    return write_call(op, make_layer, writer, inputs, masks)


@reads(layers.GRU)
def read_gru(reader: Reader, node: fx.Node) -> Bound:
    """One layer, one direction."""
    return read_call(reader, node, read_layer(reader.owner(node), reader.module(node)))
