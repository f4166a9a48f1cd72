"""`ops.TimeDistributed` <-> `torch_side.layers.TimeDistributed` around a module written by itself."""

from __future__ import annotations

from typing import Any

from biport import ops
from biport.errors import UnsupportedError
from biport.graph import Graph, Node, Value
from torch_side import layers
from torch_side.reading.layer_call import LayerCall
from torch_side.reading.written import read_written
from torch_side.registry import STATES, Inputs, Masks, Outputs, StateDict, reads, states, writes
from torch_side.writing.graph_writer import GraphWriter, write_graph
from torch_side.writing.ported import Ported

INNER = "step"
"""The name of the one node inside."""


@states(ops.TimeDistributed)
def state_time_distributed(op: ops.TimeDistributed) -> StateDict:
    """The ``state_dict`` of the module inside, under its path."""
    if type(op.layer) not in STATES:
        return {}
    state = STATES.lookup(type(op.layer), op.kind)(op.layer)
    return {f"layer.{INNER}.{name}": array for name, array in state.items()}


@writes(ops.TimeDistributed)
def write_time_distributed(
    op: ops.TimeDistributed, writer: GraphWriter, inputs: Inputs, masks: Masks
) -> Outputs:
    """``self.time_distributed(x)``."""
    rows = op.inner(writer.tensor())
    graph = Graph((Value("x", rows.shape, rows.dtype),), (Node(INNER, op.layer, ("x",)),), (INNER,))
    return (writer.module(lambda _: layers.TimeDistributed(write_graph(graph)), inputs[0]),)


@reads(layers.TimeDistributed)
def read_time_distributed(call: LayerCall) -> Any:
    """The layer, around a written module of one op.

    Raises:
        UnsupportedError: the module inside is another one by now.
    """
    layer, owner = call.module, call.owner
    (x,) = call.arguments("x")
    written = read_written(layer.layer) if isinstance(layer.layer, Ported) else None
    if written is None or len(written.graph.nodes) != 1:
        raise UnsupportedError(owner, "layer", type(layer.layer).__name__, "a written module of one op")
    op = ops.TimeDistributed(layer=written.graph.nodes[0].op)
    return call.emit(op, [call.value(x)])[0]
