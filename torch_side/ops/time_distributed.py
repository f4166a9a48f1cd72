"""`ops.TimeDistributed` -> the layer inside, over all steps of all rows one below the other."""

from __future__ import annotations

from biport import ops
from torch_side.registry import STATES, Inputs, Masks, Outputs, StateDict, states, writes
from torch_side.writing.graph_writer import GraphWriter


@states(ops.TimeDistributed)
def state_time_distributed(op: ops.TimeDistributed) -> StateDict:
    """The ``state_dict`` of the layer inside."""
    return STATES.lookup(type(op.layer), op.kind)(op.layer) if type(op.layer) in STATES else {}


@writes(ops.TimeDistributed)
def write_time_distributed(
    op: ops.TimeDistributed, writer: GraphWriter, inputs: Inputs, masks: Masks
) -> Outputs:
    """``self.time_distributed(x.flatten(0, 1)).unflatten(0, (N, T))``."""
    (x,) = inputs
    sizes = [writer.method("size", x, axis) for axis in (0, 1)]
    rows = writer.method("flatten", x, 0, 1)
    (y,) = writer.inside(op.layer, rows, op.inner(writer.tensor()))
    return (writer.method("unflatten", y, 0, sizes),)
