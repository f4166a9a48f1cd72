"""Merges <-> ``a + b``, ``a * b``, `torch.cat` and the like, or modules where masks matter."""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import fx

from biport import ops
from biport.errors import UnsupportedError
from torch_side import layers
from torch_side.reading.fx_reader import Bound, FxReader, Lazy, arrays, build
from torch_side.registry import Inputs, Masks, Outputs, StateDict, reads, states, writes
from torch_side.shared.chains import read_chain, register_masked_chain, write_chain
from torch_side.writing.graph_writer import GraphWriter

ADDITIONS = (operator.add, torch.add, "add")
DIVISIONS = (operator.truediv, torch.div, torch.divide, torch.true_divide, "div", "divide", "true_divide")

register_masked_chain(
    ops.Multiply, layers.Multiply, operator.mul, torch.mul, torch.multiply, "mul", "multiply"
)
register_masked_chain(ops.Maximum, layers.Maximum, torch.maximum, "maximum")
register_masked_chain(ops.Minimum, layers.Minimum, torch.minimum, "minimum")


@writes(ops.Add)
def write_add(op: ops.Add, writer: GraphWriter, inputs: Inputs, masks: Masks) -> Outputs:
    """``a + b + c``."""
    return (write_chain(writer, operator.add, inputs),)


@reads(*ADDITIONS)
def read_add(reader: FxReader, node: fx.Node) -> Bound:
    """A sum; one that is used for nothing but its division by the number of its terms is a mean."""
    values = read_chain(reader, node, ADDITIONS)
    if values is None:
        return reader.bound[node]
    then = reader.only_user(node)
    if then is not None and then.target in DIVISIONS and then.args == (node, len(values)) and not then.kwargs:
        reader.bound[then] = reader.emit(then, ops.Average(), values)[0]
        return reader.bound[then]
    return reader.emit(node, ops.Add(), values)[0]


@writes(ops.Average)
def write_average(op: ops.Average, writer: GraphWriter, inputs: Inputs, masks: Masks) -> Outputs:
    """``(a + b + c) / 3``."""
    return (writer.call(operator.truediv, write_chain(writer, operator.add, inputs), len(inputs)),)


@reads(*DIVISIONS)
def read_average(reader: FxReader, node: fx.Node) -> Bound:
    """A division that `read_add` did not take along: there is no op for it alone."""
    reader.look(node.all_input_nodes[0])
    raise UnsupportedError(reader.owner(node), supported="a sum of n terms, used for nothing else, over n")


@writes(ops.Subtract)
def write_subtract(op: ops.Subtract, writer: GraphWriter, inputs: Inputs, masks: Masks) -> Outputs:
    """``a - b``."""
    return (writer.call(operator.sub, *inputs),)


@reads(operator.sub, torch.sub, torch.subtract, "sub", "subtract")
def read_subtract(reader: FxReader, node: fx.Node) -> Bound:
    """A difference of two values."""
    return _read_two(reader, node, ops.Subtract(), "input", "other")


@writes(ops.Concatenate)
def write_concatenate(op: ops.Concatenate, writer: GraphWriter, inputs: Inputs, masks: Masks) -> Outputs:
    """``torch.cat([a, b], dim=-1)``."""
    return (writer.call(torch.cat, inputs, dim=op.axis),)


@reads(torch.cat, torch.concat, torch.concatenate)
def read_concatenate(reader: FxReader, node: fx.Node) -> Bound:
    """Tensors side by side, or the two final states of a bidirectional `torch.nn.LSTM`."""
    tensors, dim = reader.arguments(node, "tensors", dim=0)
    return _joined(reader, node, tensors, dim)


@reads(layers.Concatenate)
def read_concatenate_layer(reader: FxReader, node: fx.Node) -> Bound:
    """The layer."""
    return _joined(reader, node, node.args, reader.module(node).dim)


def _joined(reader: FxReader, node: fx.Node, tensors: Any, dim: int) -> str:
    items = reader.look(tensors)
    if not isinstance(items, tuple):
        raise UnsupportedError(reader.owner(node), "tensors", str(tensors), "a list of tensors")
    if items and isinstance(items[0], Lazy):
        joined = items[0].joined(items, dim, reader.owner(node))
        if joined is not None:
            return joined
    names = [item.value(reader.owner(node)) if isinstance(item, Lazy) else item for item in items]
    op = build(reader.owner(node), ops.Concatenate, axis=dim)
    return reader.emit(node, op, names)[0]


@writes(ops.Dot)
def write_dot(op: ops.Dot, writer: GraphWriter, inputs: Inputs, masks: Masks) -> Outputs:
    """``self.dot(a, b)``."""
    return (writer.module(lambda op: layers.Dot(op.axes, op.normalize), *inputs),)


@reads(layers.Dot)
def read_dot(reader: FxReader, node: fx.Node) -> Bound:
    """The layer."""
    layer = reader.module(node)
    op = build(reader.owner(node), ops.Dot, axes=layer.axes, normalize=layer.normalize)
    return _read_two(reader, node, op, "one", "two")


@reads(torch.bmm, "bmm")
def read_bmm(reader: FxReader, node: fx.Node) -> Bound:
    """``torch.bmm(a, b)``, of ``(N, T, I)`` and ``(N, I, S)``."""
    return _read_two(reader, node, ops.Dot(axes=(2, 1)), "input", "mat2")


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
def read_learned_average(reader: FxReader, node: fx.Node) -> Bound:
    """The layer."""
    owner = reader.owner(node)
    op = build(owner, ops.LearnedAverage, **arrays(owner, {"weight": reader.module(node).weight}))
    return _read_two(reader, node, op, "one", "two")


def _read_two(reader: FxReader, node: fx.Node, op: ops.Op, *names: str) -> str:
    """An op of two values, which torch calls ``names``."""
    values = [reader.value(node, item) for item in reader.arguments(node, *names)]
    return reader.emit(node, op, values)[0]
