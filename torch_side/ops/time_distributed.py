"""`ops.TimeDistributed` -> the layer inside, over all steps of all rows one below the other."""

from __future__ import annotations

from collections.abc import Sequence

from biport import ops
from torch_side.registry import (
    STATES,
    Axes,
    Inputs,
    Masks,
    Outputs,
    StateDict,
    axes_of,
    axes_taken,
    states,
    writes,
)
from torch_side.writing.graph_writer import GraphWriter


@states(ops.TimeDistributed)
def state_time_distributed(op: ops.TimeDistributed) -> StateDict:
    """The ``state_dict`` of the layer inside."""
    return STATES.lookup(type(op.layer), op.kind)(op.layer) if type(op.layer) in STATES else {}


@axes_of(ops.TimeDistributed)
def axes_of_time_distributed(op: ops.TimeDistributed, inputs: Sequence[ops.Tensor]) -> Axes:
    """The layer's, with one more axis taken together."""
    inside = axes_taken(op.layer, [op.inner(inputs[0])])
    return Axes(inside.channels, (inside.rows or 1) + 1)


@writes(ops.TimeDistributed)
def write_time_distributed(
    op: ops.TimeDistributed, writer: GraphWriter, inputs: Inputs, masks: Masks
) -> Outputs:
    """``self.time_distributed(x)`` of the steps of all rows one below the other."""
    return writer.inside(op.layer, inputs[0], op.inner(writer.tensor()))
