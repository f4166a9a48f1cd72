"""`ops.GlobalAveragePooling1D` <-> `torch_side.layers.GlobalAveragePooling1D`; ``x.mean(dim=1)`` too."""

from __future__ import annotations

import torch
from torch import fx

from biport import ops
from torch_side import layers
from torch_side.ops.global_max_pooling1d import over_time
from torch_side.reader import Bound, Reader
from torch_side.registry import reads, writes
from torch_side.writer import Writer


@writes(ops.GlobalAveragePooling1D)
def write_global_average_pooling1d(
    op: ops.GlobalAveragePooling1D, writer: Writer, inputs: list[fx.Node], masks: list[fx.Node | None]
) -> tuple[fx.Node, ...]:
    """``self.global_average_pooling1d(x, mask=mask)``."""
    return (writer.module(lambda op: layers.GlobalAveragePooling1D(op.keepdims), inputs[0], mask=masks[0]),)


@reads(layers.GlobalAveragePooling1D)
def read_global_average_pooling1d(reader: Reader, node: fx.Node) -> Bound:
    """The layer."""
    x, mask = reader.arguments(node, "x", mask=None)
    masks = [None if mask is None else reader.value(node, mask)]
    op = ops.GlobalAveragePooling1D(keepdims=reader.module(node).keepdims)
    return reader.emit(node, op, [reader.value(node, x)], masks)[0]


@reads(torch.mean, "mean")
def read_mean(reader: Reader, node: fx.Node) -> Bound:
    """``x.mean(dim=1)``: padded steps count."""
    source, keepdims = over_time(reader, node)
    return reader.emit(node, ops.GlobalAveragePooling1D(keepdims=keepdims), [source])[0]
