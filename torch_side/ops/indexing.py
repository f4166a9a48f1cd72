"""Operations that look elements up, or order them -> ``x[:, indices]`` and others."""

from __future__ import annotations

import operator

import torch
from torch import fx

from biport import ops
from torch_side.layers.indexing import take_along_axis
from torch_side.registry import Inputs, Masks, Outputs, writes
from torch_side.writing.graph_writer import GraphWriter, torch_dtype


@writes(ops.Take)
def write_take(op: ops.Take, writer: GraphWriter, inputs: Inputs, masks: Masks) -> Outputs:
    """``x[:, indices]``."""
    x, indices = inputs
    front = op.axis % writer.rank()
    whole = (slice(None),) * front
    return (writer.call(operator.getitem, x, (*whole, indices) if whole else indices),)


@writes(ops.TakeAlongAxis)
def write_take_along_axis(
    op: ops.TakeAlongAxis, writer: GraphWriter, inputs: Inputs, masks: Masks
) -> Outputs:
    """``take_along_axis(x, indices, dim=1)``."""
    return (writer.call(take_along_axis, *inputs, dim=op.axis),)


@writes(ops.StepAt)
def write_step_at(op: ops.StepAt, writer: GraphWriter, inputs: Inputs, masks: Masks) -> Outputs:
    """``x[torch.arange(N), steps]``."""
    x, steps = inputs
    rows = writer.call(torch.arange, writer.size(writer.tensor().shape[0]), device=writer.device())
    return (writer.call(operator.getitem, x, (rows, steps)),)


@writes(ops.OneHot)
def write_one_hot(op: ops.OneHot, writer: GraphWriter, inputs: Inputs, masks: Masks) -> Outputs:
    """``(x.unsqueeze(-1) == torch.arange(n)).to(torch.float32)``: torch's own refuses what has no class."""
    (x,) = inputs
    classes = writer.call(torch.arange, op.num_classes, device=writer.device())
    chosen = writer.call(operator.eq, writer.method("unsqueeze", x, -1), classes)
    return (writer.method("to", chosen, torch_dtype(op.output_dtype)),)


@writes(ops.TopK)
def write_top_k(op: ops.TopK, writer: GraphWriter, inputs: Inputs, masks: Masks) -> Outputs:
    """``x.sort(dim=1, descending=True, stable=True)``, cut: `torch.topk` takes any of equal numbers."""
    both = _sorted(writer, inputs[0], op.axis, op.largest)
    ordered = [writer.call(operator.getitem, both, position) for position in range(op.output_count)]
    return tuple(writer.method("narrow", part, op.axis, 0, op.k) for part in ordered)


@writes(ops.Sort)
def write_sort(op: ops.Sort, writer: GraphWriter, inputs: Inputs, masks: Masks) -> Outputs:
    """``x.sort(dim=1)[0]``."""
    return (writer.call(operator.getitem, _sorted(writer, inputs[0], op.axis, op.descending), 0),)


@writes(ops.ArgSort)
def write_arg_sort(op: ops.ArgSort, writer: GraphWriter, inputs: Inputs, masks: Masks) -> Outputs:
    """``x.argsort(dim=1, stable=True)``."""
    order = {"descending": True} if op.descending else {}
    return (writer.method("argsort", inputs[0], dim=op.axis, **order, stable=True),)


def _sorted(writer: GraphWriter, x: fx.Node, axis: int, descending: bool) -> fx.Node:
    """Numbers and positions, equal numbers in their order."""
    order = {"descending": True} if descending else {}
    return writer.method("sort", x, dim=axis, **order, stable=True)
