"""`ops.FeaturesNotEqual` <-> ``(x != 0).any(dim=-1)``."""

from __future__ import annotations

import operator

import torch
from torch import fx

from biport import ops
from biport.errors import UnsupportedError
from torch_side.ops.not_equal import Unequal
from torch_side.reader import Bound, Reader, build
from torch_side.registry import reads, writes
from torch_side.writer import Writer


@writes(ops.FeaturesNotEqual)
def write_features_not_equal(
    op: ops.FeaturesNotEqual, writer: Writer, inputs: list[fx.Node], masks: list[fx.Node | None]
) -> tuple[fx.Node, ...]:
    """``torch.any(x != 0.0, dim=-1)``."""
    return (writer.call(torch.any, writer.call(operator.ne, inputs[0], op.value), dim=-1),)


@reads(torch.any, "any")
def read_features_not_equal(reader: Reader, node: fx.Node) -> Bound:
    """The steps of ``(N, T, I)`` with any feature that is not a number."""
    x, dim, keepdim = reader.arguments(node, "input", dim=None, keepdim=False)
    found = reader.look(x)
    if not isinstance(found, Unequal) or dim not in (-1, 2) or keepdim:
        raise UnsupportedError(reader.owner(node), "any of", str(x), "(x != number).any(dim=-1)")
    op = build(reader.owner(node), ops.FeaturesNotEqual, value=found.number)
    return reader.emit(node, op, [found.source])[0]
