"""Masks: ``ids != 0``, ``(x != 0).any(dim=-1)``, ``a & b``, ``a | b``, and `torch_side.layers.Masking`."""

from __future__ import annotations

import operator
from dataclasses import dataclass

import torch
from torch import fx

from biport import ops
from biport.errors import UnsupportedError
from torch_side import layers
from torch_side.layers.masks import every_step
from torch_side.reading.fx_reader import Bound, FxReader, Lazy, build
from torch_side.registry import Inputs, Masks, Outputs, reads, writes
from torch_side.shared.chains import register_chain
from torch_side.shared.layer_ops import register_layer
from torch_side.writing.graph_writer import GraphWriter

register_layer(ops.Masking, layers.Masking, {"mask_value": "value"})
register_chain(
    ops.LogicalAnd, operator.and_, torch.logical_and, torch.bitwise_and, "logical_and", "bitwise_and"
)
register_chain(ops.LogicalOr, operator.or_, torch.logical_or, torch.bitwise_or, "logical_or", "bitwise_or")


@dataclass
class FeatureComparison(Lazy):
    """``x != number`` for floats: the beginning of a mask, see `ops.FeaturesNotEqual`."""

    source: str
    number: float

    def value(self, user: str) -> str:
        """Not one value: only a step as a whole can be masked."""
        raise UnsupportedError(user, "uses", f"{self.source} != {self.number}", "(x != number).any(dim=-1)")

    def item(self, index: object, user: str) -> Bound:
        """Nothing."""
        raise UnsupportedError(user, "index", index, "(x != number).any(dim=-1)")


@writes(ops.NotEqual)
def write_not_equal(op: ops.NotEqual, writer: GraphWriter, inputs: Inputs, masks: Masks) -> Outputs:
    """``ids != 0``."""
    return (writer.call(operator.ne, inputs[0], op.value),)


@reads(operator.ne, torch.ne, torch.not_equal, "ne", "not_equal")
def read_not_equal(reader: FxReader, node: fx.Node) -> Bound:
    """A comparison of ids with an integer, or of features with a number."""
    ids, value = reader.arguments(node, "input", "other")
    source = reader.value(node, ids)
    if source in reader.tensors and reader.tensors[source].dtype in ops.FLOATS:
        return FeatureComparison(source, value)
    if type(value) is not int:
        raise UnsupportedError(reader.owner(node), "compared with", str(value), "an integer, as in ids != 0")
    return reader.emit(node, ops.NotEqual(value=value), [source])[0]


@writes(ops.FeaturesNotEqual)
def write_features_not_equal(
    op: ops.FeaturesNotEqual, writer: GraphWriter, inputs: Inputs, masks: Masks
) -> Outputs:
    """``torch.any(x != 0.0, dim=-1)``."""
    return (writer.call(torch.any, writer.call(operator.ne, inputs[0], op.value), dim=-1),)


@reads(torch.any, "any")
def read_features_not_equal(reader: FxReader, node: fx.Node) -> Bound:
    """The steps of ``(N, T, I)`` with any feature that is not a number."""
    x, dim, keepdim = reader.arguments(node, "input", dim=None, keepdim=False)
    comparison = reader.look(x)
    if not isinstance(comparison, FeatureComparison) or dim not in (-1, 2) or keepdim:
        raise UnsupportedError(reader.owner(node), "any of", str(x), "(x != number).any(dim=-1)")
    op = build(reader.owner(node), ops.FeaturesNotEqual, value=comparison.number)
    return reader.emit(node, op, [comparison.source])[0]


@writes(ops.OnesLike)
def write_ones_like(op: ops.OnesLike, writer: GraphWriter, inputs: Inputs, masks: Masks) -> Outputs:
    """``every_step(x)``."""
    return (writer.call(every_step, inputs[0]),)


@reads(every_step)
def read_ones_like(reader: FxReader, node: fx.Node) -> Bound:
    """The mask of every step."""
    (x,) = reader.arguments(node, "x")
    return reader.emit(node, ops.OnesLike(), [reader.value(node, x)])[0]
