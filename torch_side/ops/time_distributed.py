"""`ops.TimeDistributed` <-> `torch_side.layers.TimeDistributed` around a module written by itself."""

from __future__ import annotations

from torch import fx, nn

from biport import ops
from biport.errors import UnsupportedError
from biport.graph import Graph, Node, Value
from torch_side import layers
from torch_side.reading.fx_reader import Bound, FxReader
from torch_side.reading.module_reader import read_module
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
def read_time_distributed(reader: FxReader, node: fx.Node) -> Bound:
    """The layer, around anything that reads as one op.

    Raises:
        UnsupportedError: the module inside is more than one op, or its input is not declared.
    """
    layer, owner = reader.module(node), reader.owner(node)
    (x,) = reader.arguments(node, "x")
    source = reader.value(node, x)
    tensor = reader.tensors.get(source)
    if tensor is None or len(tensor.shape) < 3:
        raise UnsupportedError(owner, "input", str(tensor), "a value of known shape (N, T, ...)")
    inside = layer.layer if isinstance(layer.layer, Ported) else nn.Sequential(layer.layer)
    graph, _, _ = read_module(inside, [Value("x", ("N", *tensor.shape[2:]), tensor.dtype)])
    if len(graph.nodes) != 1:
        kinds = [part.op.kind for part in graph.nodes]
        raise UnsupportedError(owner, "layer", kinds, "a module that reads as one op")
    op = ops.TimeDistributed(layer=graph.nodes[0].op)
    return reader.emit(node, op, [source])[0]
