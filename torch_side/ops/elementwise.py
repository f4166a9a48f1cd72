"""Operations on each element -> ``a + b``, ``torch.exp(x)``, ``x.clamp(0, 1)`` and the like."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import fx

from biport import ops
from torch_side.registry import EVERY_ELEMENT, Inputs, Masks, Outputs, writes_axes
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


@writes_axes(EVERY_ELEMENT, ops.Elementwise)
def write_elementwise(op: ops.Elementwise, writer: GraphWriter, inputs: Inputs, masks: Masks) -> Outputs:
    """``a + b``, ``torch.exp(x)``; a constant is a number in it."""
    function, operands = op.function, list(inputs)
    if function == "sign":
        return (_sign(writer, operands[0]),)
    numbers = [operand for operand in operands if not isinstance(operand, fx.Node)]
    if function in LIMITS and numbers:
        (x,) = (operand for operand in operands if isinstance(operand, fx.Node))
        return (writer.call(torch.clamp, x, **{LIMITS[function]: numbers[0]}),)
    if function in MIRRORED and operands[0] in numbers:
        return (writer.call(OPERATORS[MIRRORED[function]], *reversed(operands)),)
    if function in OPERATORS:
        return (writer.call(OPERATORS[function], *operands),)
    return (writer.call(getattr(torch, function), *map(writer.as_tensor, range(len(operands)))),)


def _sign(writer: GraphWriter, x: fx.Node) -> fx.Node:
    """That of NaN is NaN, which torch makes 0."""
    return writer.call(torch.where, writer.call(torch.isnan, x), x, writer.call(torch.sign, x))


@writes_axes(EVERY_ELEMENT, ops.Where)
def write_where(op: ops.Where, writer: GraphWriter, inputs: Inputs, masks: Masks) -> Outputs:
    """``torch.where(condition, x, y)``."""
    return (writer.call(torch.where, writer.as_tensor(0), *inputs[1:]),)


@writes_axes(EVERY_ELEMENT, ops.Clip)
def write_clip(op: ops.Clip, writer: GraphWriter, inputs: Inputs, masks: Masks) -> Outputs:
    """``torch.clamp(x, min=0.0, max=1.0)``."""
    whole = writer.tensor().dtype in ops.INTEGERS
    limits = {"min": op.min, "max": op.max}
    given = {name: int(limit) if whole else limit for name, limit in limits.items() if limit is not None}
    return (writer.call(torch.clamp, inputs[0], **given),)


@writes_axes(EVERY_ELEMENT, ops.Cast)
def write_cast(op: ops.Cast, writer: GraphWriter, inputs: Inputs, masks: Masks) -> Outputs:
    """``x.to(torch.float32)``."""
    return (writer.method("to", inputs[0], getattr(torch, op.output_dtype)),)
