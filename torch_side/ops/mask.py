"""Masks: ``ids != 0``, ``(x != 0).any(dim=-1)``, ``a & b``, ``a | b``, and `torch_side.layers.Masking`."""

from __future__ import annotations

import operator

import torch

from biport import ops
from torch_side import layers
from torch_side.layers.masks import every_step
from torch_side.registry import Inputs, Masks, Outputs, writes
from torch_side.shared.chains import register_chain
from torch_side.shared.layer_ops import register_layer
from torch_side.writing.graph_writer import GraphWriter

register_layer(ops.Masking, layers.Masking, {"mask_value": "value"})
register_chain(ops.LogicalAnd, operator.and_)
register_chain(ops.LogicalOr, operator.or_)


@writes(ops.NotEqual)
def write_not_equal(op: ops.NotEqual, writer: GraphWriter, inputs: Inputs, masks: Masks) -> Outputs:
    """``ids != 0``."""
    return (writer.call(operator.ne, inputs[0], op.value),)


@writes(ops.FeaturesNotEqual)
def write_features_not_equal(
    op: ops.FeaturesNotEqual, writer: GraphWriter, inputs: Inputs, masks: Masks
) -> Outputs:
    """``torch.any(x != 0.0, dim=-1)``."""
    return (writer.call(torch.any, writer.call(operator.ne, inputs[0], op.value), dim=-1),)


@writes(ops.OnesLike)
def write_ones_like(op: ops.OnesLike, writer: GraphWriter, inputs: Inputs, masks: Masks) -> Outputs:
    """``every_step(x)``."""
    return (writer.call(every_step, inputs[0]),)
