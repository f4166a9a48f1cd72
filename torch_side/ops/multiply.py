"""`ops.Multiply` <-> ``a * b``, or `torch_side.layers.Multiply` where there are masks."""

from __future__ import annotations

import operator

import torch
from torch import fx

from biport import ops
from torch_side import layers
from torch_side.chains import read_masked, read_merge, write_masked
from torch_side.reader import Bound, Reader
from torch_side.registry import reads, writes
from torch_side.writer import Writer

TARGETS = (operator.mul, torch.mul, torch.multiply, "mul", "multiply")


@writes(ops.Multiply)
def write_multiply(
    op: ops.Multiply, writer: Writer, inputs: list[fx.Node], masks: list[fx.Node | None]
) -> tuple[fx.Node, ...]:
    """``a * b``, or ``self.multiply(a, b, masks=[...])``."""
    return write_masked(op, writer, inputs, masks, operator.mul)


@reads(*TARGETS)
def read_multiply(reader: Reader, node: fx.Node) -> Bound:
    """A chain of them is one op."""
    return read_merge(reader, node, ops.Multiply(), TARGETS)


@reads(layers.Multiply)
def read_multiply_layer(reader: Reader, node: fx.Node) -> Bound:
    """The layer, with a mask or ``None`` for each input."""
    return read_masked(reader, node, ops.Multiply())
