"""`ops.Maximum` <-> ``torch.maximum(a, b)``, or `torch_side.layers.Maximum` where there are masks."""

from __future__ import annotations

import torch
from torch import fx

from biport import ops
from torch_side import layers
from torch_side.chains import read_masked, read_merge, write_masked
from torch_side.reader import Bound, Reader
from torch_side.registry import reads, writes
from torch_side.writer import Writer

TARGETS = (torch.maximum, "maximum")


@writes(ops.Maximum)
def write_maximum(
    op: ops.Maximum, writer: Writer, inputs: list[fx.Node], masks: list[fx.Node | None]
) -> tuple[fx.Node, ...]:
    """``torch.maximum(a, b)``, or ``self.maximum(a, b, masks=[...])``."""
    return write_masked(op, writer, inputs, masks, torch.maximum)


@reads(*TARGETS)
def read_maximum(reader: Reader, node: fx.Node) -> Bound:
    """A chain of them is one op."""
    return read_merge(reader, node, ops.Maximum(), TARGETS)


@reads(layers.Maximum)
def read_maximum_layer(reader: Reader, node: fx.Node) -> Bound:
    """The layer, with a mask or ``None`` for each input."""
    return read_masked(reader, node, ops.Maximum())
