"""Merges <-> ``a + b``, ``a * b``, `torch.cat` and the like, or modules where masks matter."""

from __future__ import annotations

import operator
from typing import Any

import torch

from biport import ops
from torch_side import layers
from torch_side.reading.layer_call import LayerCall, arrays, build
from torch_side.registry import (
    ANY_ORDER,
    EVERY_ELEMENT,
    Inputs,
    Masks,
    Outputs,
    StateDict,
    reads,
    states,
    writes,
    writes_axes,
)
from torch_side.shared.chains import register_masked_chain, write_chain
from torch_side.writing.graph_writer import GraphWriter

register_masked_chain(ops.Multiply, layers.Multiply, operator.mul)
register_masked_chain(ops.Maximum, layers.Maximum, torch.maximum)
register_masked_chain(ops.Minimum, layers.Minimum, torch.minimum)


@writes_axes(EVERY_ELEMENT, ops.Add)
def write_add(op: ops.Add, writer: GraphWriter, inputs: Inputs, masks: Masks) -> Outputs:
    """``a + b + c``."""
    return (write_chain(writer, operator.add, inputs),)


@writes_axes(EVERY_ELEMENT, ops.Average)
def write_average(op: ops.Average, writer: GraphWriter, inputs: Inputs, masks: Masks) -> Outputs:
    """``(a + b + c) / 3``."""
    return (writer.call(operator.truediv, write_chain(writer, operator.add, inputs), len(inputs)),)


@writes_axes(EVERY_ELEMENT, ops.Subtract)
def write_subtract(op: ops.Subtract, writer: GraphWriter, inputs: Inputs, masks: Masks) -> Outputs:
    """``a - b``."""
    return (writer.call(operator.sub, *inputs),)


@writes_axes(ANY_ORDER, ops.Concatenate)
def write_concatenate(op: ops.Concatenate, writer: GraphWriter, inputs: Inputs, masks: Masks) -> Outputs:
    """``torch.cat([a, b], dim=-1)``."""
    return (writer.call(torch.cat, inputs, dim=writer.axis(op.axis)),)


@reads(layers.Concatenate)
def read_concatenate_layer(call: LayerCall) -> Any:
    """The layer."""
    op = build(call.owner, ops.Concatenate, axis=call.module.dim)
    return call.emit(op, [call.value(item) for item in call.arguments("inputs")[0]])[0]


@writes(ops.Dot)
def write_dot(op: ops.Dot, writer: GraphWriter, inputs: Inputs, masks: Masks) -> Outputs:
    """``self.dot(a, b)``."""
    return (writer.module(lambda op: layers.Dot(op.axes, op.normalize), *inputs),)


@reads(layers.Dot)
def read_dot(call: LayerCall) -> Any:
    """The layer."""
    layer = call.module
    op = build(call.owner, ops.Dot, axes=layer.axes, normalize=layer.normalize)
    return _read_two(call, op, "one", "two")


@states(ops.LearnedAverage)
def state_learned_average(op: ops.LearnedAverage) -> StateDict:
    """The ``state_dict`` of the layer."""
    return {"weight": op.weight}


@writes(ops.LearnedAverage)
def write_learned_average(
    op: ops.LearnedAverage, writer: GraphWriter, inputs: Inputs, masks: Masks
) -> Outputs:
    """``self.learned_average(a, b)``."""
    return (writer.module(lambda op: layers.LearnedAverage(*op.weight.shape), *inputs),)


@reads(layers.LearnedAverage)
def read_learned_average(call: LayerCall) -> Any:
    """The layer."""
    owner = call.owner
    op = build(owner, ops.LearnedAverage, **arrays(owner, {"weight": call.module.weight}))
    return _read_two(call, op, "one", "two")


def _read_two(call: LayerCall, op: ops.Op, *names: str) -> str:
    """An op of two values, which torch calls ``names``."""
    values = [call.value(item) for item in call.arguments(*names)]
    return call.emit(op, values)[0]
