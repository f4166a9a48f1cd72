"""Operations that take axes together -> ``x.sum(dim=1)`` and others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import fx

from biport import ops
from torch_side.layers.reduction import variance
from torch_side.registry import ANY_ORDER, Inputs, Masks, Outputs, writes, writes_axes
from torch_side.writing.graph_writer import GraphWriter

METHODS: Mapping[str, str] = {"max": "amax", "min": "amin"}
"""By the array API's name, where torch has another."""


@writes_axes(ANY_ORDER, ops.Reduction)
def write_reduction(op: ops.Reduction, writer: GraphWriter, inputs: Inputs, masks: Masks) -> Outputs:
    """``x.sum(dim=1)``, ``x.amax(dim=(1, 2), keepdim=True)`` and others."""
    (x,) = inputs
    if not op.axes:
        return (writer.method("clone", x),)
    over = writer.over(op.axes, op.keepdims)
    match op.function:
        case "sum":
            return (writer.method("sum", x, **over, **_own_dtype(writer)),)
        case "prod":
            return (_product(op, writer, x),)
        case "var" | "std":
            moment = writer.call(
                variance,
                x,
                **over | {"dim": tuple(map(writer.axis, op.axes)), "correction": float(op.correction)},
            )
            return (writer.method("sqrt", moment) if op.function == "std" else moment,)
        case "norm":
            return (writer.call(torch.linalg.vector_norm, x, ord=op.order, **over),)
    return (writer.method(METHODS.get(op.function, op.function), x, **over),)


def _own_dtype(writer: GraphWriter) -> dict[str, Any]:
    """Torch adds up int32 as int64 if it is not told."""
    return {"dtype": torch.int32} if writer.tensor().dtype == "int32" else {}


def _product(op: ops.Reduction, writer: GraphWriter, x: fx.Node) -> fx.Node:
    """``x.prod(dim=2).prod(dim=1)``: torch takes one axis at a time, the last one first."""
    for axis in sorted((writer.axis(axis) % writer.rank() for axis in op.axes), reverse=True):
        over = {"dim": axis, **({"keepdim": True} if op.keepdims else {}), **_own_dtype(writer)}
        x = writer.method("prod", x, **over)
    return x


@writes(ops.ArgReduction)
def write_arg_reduction(op: ops.ArgReduction, writer: GraphWriter, inputs: Inputs, masks: Masks) -> Outputs:
    """``x.argmax(dim=-1)``."""
    over = {"dim": op.axis, **({"keepdim": True} if op.keepdims else {})}
    return (writer.method(op.function, inputs[0], **over),)


@writes(ops.CumulativeSum)
def write_cumulative_sum(op: ops.CumulativeSum, writer: GraphWriter, inputs: Inputs, masks: Masks) -> Outputs:
    """``x.cumsum(dim=1)``."""
    return (writer.method("cumsum", inputs[0], dim=op.axis, **_own_dtype(writer)),)


@writes(ops.LogSoftmax)
def write_log_softmax(op: ops.LogSoftmax, writer: GraphWriter, inputs: Inputs, masks: Masks) -> Outputs:
    """``x.log_softmax(dim=1)``."""
    return (writer.method("log_softmax", inputs[0], dim=op.axis),)
