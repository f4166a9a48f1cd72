"""Operations on each element -> ``a + b``, ``torch.exp(x)``, ``x.clamp(0, 1)`` and the like."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import fx

from biport import ops
from torch_side.registry import Inputs, Masks, Outputs, writes
from torch_side.writing.graph_writer import GraphWriter

OPERATORS: Mapping[str, Callable[..., Any]] = {
    "negative": operator.neg,
    "logical_not": operator.invert,
    "add": operator.add,
    "subtract": operator.sub,
    "multiply": operator.mul,
    "divide": operator.truediv,
    "floor_divide": operator.floordiv,
    "remainder": operator.mod,
    "pow": operator.pow,
    "equal": operator.eq,
    "not_equal": operator.ne,
    "less": operator.lt,
    "less_equal": operator.le,
    "greater": operator.gt,
    "greater_equal": operator.ge,
    "logical_and": operator.and_,
    "logical_or": operator.or_,
    "logical_xor": operator.xor,
}
"""The functions that Python has a sign for; torch calls the others what they are called here."""

MIRRORED: Mapping[str, str] = {
    "equal": "equal",
    "not_equal": "not_equal",
    "less": "greater",
    "less_equal": "greater_equal",
    "greater": "less",
    "greater_equal": "less_equal",
}
"""Comparisons by what they are with the operands exchanged: a number stands on the right."""

LIMITS: Mapping[str, str] = {"maximum": "min", "minimum": "max"}
"""What `torch.clamp` calls a number that another is not to be below or above."""


@writes(ops.Elementwise)
def write_elementwise(op: ops.Elementwise, writer: GraphWriter, inputs: Inputs, masks: Masks) -> Outputs:
    """``a + b``, ``torch.exp(x)``; a constant is a number in it."""
    function, operands = op.function, list(inputs)
    if not any(isinstance(operand, fx.Node) for operand in operands):
        operands[0] = writer.full(0)
    if function == "sign":
        return (_sign(writer, operands[0]),)
    first, *others = operands
    if function in LIMITS and not all(isinstance(operand, fx.Node) for operand in operands):
        x, limit = (first, others[0]) if isinstance(first, fx.Node) else (others[0], first)
        return (writer.call(torch.clamp, x, **{LIMITS[function]: limit}),)
    if function in MIRRORED and not isinstance(first, fx.Node):
        return (writer.call(OPERATORS[MIRRORED[function]], *others, first),)
    if function not in OPERATORS:
        operands = [x if isinstance(x, fx.Node) else writer.full(at) for at, x in enumerate(operands)]
    return (writer.call(OPERATORS.get(function) or getattr(torch, function), *operands),)


def _sign(writer: GraphWriter, x: fx.Node) -> fx.Node:
    """That of NaN is NaN, which torch makes 0."""
    return writer.call(torch.where, writer.call(torch.isnan, x), x, writer.call(torch.sign, x))


@writes(ops.Where)
def write_where(op: ops.Where, writer: GraphWriter, inputs: Inputs, masks: Masks) -> Outputs:
    """``torch.where(condition, x, y)``."""
    condition, *others = inputs
    if not isinstance(condition, fx.Node):
        condition = writer.full(0)
    if not any(isinstance(other, fx.Node) for other in others):
        others[0] = writer.full(1)
    return (writer.call(torch.where, condition, *others),)


@writes(ops.Clip)
def write_clip(op: ops.Clip, writer: GraphWriter, inputs: Inputs, masks: Masks) -> Outputs:
    """``torch.clamp(x, min=0.0, max=1.0)``."""
    whole = writer.tensor().dtype in ops.INTEGERS
    limits = {"min": op.min, "max": op.max}
    given = {name: int(limit) if whole else limit for name, limit in limits.items() if limit is not None}
    return (writer.call(torch.clamp, inputs[0], **given),)


@writes(ops.Cast)
def write_cast(op: ops.Cast, writer: GraphWriter, inputs: Inputs, masks: Masks) -> Outputs:
    """``x.to(torch.float32)``."""
    return (writer.method("to", inputs[0], getattr(torch, op.output_dtype)),)
