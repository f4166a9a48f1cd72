"""`ops.Minimum` <-> ``torch.minimum(a, b)``, or `torch_side.layers.Minimum` where there are masks."""

from __future__ import annotations

import torch
from torch import fx

from biport import ops
from torch_side import layers
from torch_side.chains import read_masked, read_merge, write_masked
from torch_side.reader import Bound, Reader
from torch_side.registry import reads, writes
from torch_side.writer import Writer

TARGETS = (torch.minimum, "minimum")


@writes(ops.Minimum)
def write_minimum(
    op: ops.Minimum, writer: Writer, inputs: list[fx.Node], masks: list[fx.Node | None]
) -> tuple[fx.Node, ...]:
    """``torch.minimum(a, b)``, or ``self.minimum(a, b, masks=[...])``."""
    return write_masked(op, writer, inputs, masks, torch.minimum)


@reads(*TARGETS)
def read_minimum(reader: Reader, node: fx.Node) -> Bound:
    """A chain of them is one op."""
    return read_merge(reader, node, ops.Minimum(), TARGETS)


@reads(layers.Minimum)
def read_minimum_layer(reader: Reader, node: fx.Node) -> Bound:
    """The layer, with a mask or ``None`` for each input."""
    return read_masked(reader, node, ops.Minimum())
