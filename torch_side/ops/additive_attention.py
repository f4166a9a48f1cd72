"""`ops.AdditiveAttention` <-> `torch_side.layers.AdditiveAttention`."""

from __future__ import annotations

from torch import fx

from biport import ops
from torch_side import layers
from torch_side.attention import present, read_call, settings, write_call
from torch_side.reader import Bound, Reader
from torch_side.registry import State, reads, states, writes
from torch_side.writer import Writer


@states(ops.AdditiveAttention)
def state_additive_attention(op: ops.AdditiveAttention) -> State:
    """The ``state_dict`` of the layer."""
    return present({"scale": op.scale})


def _make(op: ops.AdditiveAttention) -> layers.AdditiveAttention:
    return layers.AdditiveAttention(None if op.scale is None else op.scale.size, **settings(op))


@writes(ops.AdditiveAttention)
def write_additive_attention(
    op: ops.AdditiveAttention, writer: Writer, inputs: list[fx.Node], masks: list[fx.Node | None]
) -> tuple[fx.Node, ...]:
    """``self.additive_attention(query, value, query_mask=..., value_mask=...)``."""
    return write_call(op, _make, writer, inputs, masks)


@reads(layers.AdditiveAttention)
def read_additive_attention(reader: Reader, node: fx.Node) -> Bound:
    """The layer."""
    return read_call(reader, node, ops.AdditiveAttention, scale=reader.module(node).scale)
