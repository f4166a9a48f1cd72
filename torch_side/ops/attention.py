"""`ops.Attention` <-> `torch_side.layers.Attention`."""

from __future__ import annotations

from torch import fx

from biport import ops
from torch_side import layers
from torch_side.attention import present, read_call, settings, write_call
from torch_side.reader import Bound, Reader
from torch_side.registry import State, reads, states, writes
from torch_side.writer import Writer


@states(ops.Attention)
def state_attention(op: ops.Attention) -> State:
    """The ``state_dict`` of the layer."""
    return present({"scale": op.scale, "score_weight": op.score_weight})


def _make(op: ops.Attention) -> layers.Attention:
    return layers.Attention(score_mode=op.score_mode, use_scale=op.scale is not None, **settings(op))


@writes(ops.Attention)
def write_attention(
    op: ops.Attention, writer: Writer, inputs: list[fx.Node], masks: list[fx.Node | None]
) -> tuple[fx.Node, ...]:
    """``self.attention(query, value, query_mask=..., value_mask=...)``."""
    return write_call(op, _make, writer, inputs, masks)


@reads(layers.Attention)
def read_attention(reader: Reader, node: fx.Node) -> Bound:
    """The layer."""
    layer = reader.module(node)
    own = {"scale": layer.scale, "score_weight": layer.score_weight}
    return read_call(reader, node, ops.Attention, score_mode=layer.score_mode, **own)
