"""`ops.Embedding` <-> `torch_side.layers.Embedding`; a plain `torch.nn.Embedding` is read too."""

from __future__ import annotations

from typing import Any

from torch import nn

from biport import ops
from torch_side import layers
from torch_side.reading.layer_call import LayerCall, arrays, build
from torch_side.registry import Inputs, Masks, Outputs, StateDict, reads, states, writes
from torch_side.shared.layer_ops import register_layer
from torch_side.writing.graph_writer import GraphWriter

register_layer(ops.ToIds, layers.ToIds, {})


@states(ops.Embedding)
def state_embedding(op: ops.Embedding) -> StateDict:
    """The table, ``(V, O)``."""
    return {"weight": op.weight}


def embedding(op: ops.Embedding) -> layers.Embedding:
    """A layer of the op's sizes."""
    settings = {"mask_zero": op.mask_zero, "padding_idx": op.padding_idx}
    return layers.Embedding(op.num_embeddings, op.embedding_dim, **settings)


@writes(ops.Embedding)
def write_embedding(op: ops.Embedding, writer: GraphWriter, inputs: Inputs, masks: Masks) -> Outputs:
    """``self.embedding(ids)``."""
    return (writer.module(embedding, inputs[0]),)


@reads(nn.Embedding, layers.Embedding)
def read_embedding(call: LayerCall) -> Any:
    """A table of rows; ``max_norm`` rescales rows while it looks them up: refused."""
    module, owner = call.module, call.owner
    call.require(max_norm=(module.max_norm, None))
    op = build(
        owner,
        ops.Embedding,
        num_embeddings=module.num_embeddings,
        embedding_dim=module.embedding_dim,
        mask_zero=getattr(module, "mask_zero", False),
        padding_idx=module.padding_idx,
        **arrays(owner, {"weight": module.weight}),
    )
    (ids,) = call.arguments("input")
    return call.emit(op, [call.value(ids)])[0]
