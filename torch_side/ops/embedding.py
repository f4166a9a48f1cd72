"""`ops.Embedding` <-> `torch.nn.Embedding`."""

from __future__ import annotations

from torch import nn

from biport import ops
from torch_side import layers
from torch_side.registry import Inputs, Masks, Outputs, StateDict, states, writes
from torch_side.shared.layer_ops import register_layer
from torch_side.writing.graph_writer import GraphWriter

register_layer(ops.ToIds, layers.ToIds, {})


@states(ops.Embedding)
def state_embedding(op: ops.Embedding) -> StateDict:
    """The table, ``(V, O)``."""
    return {"weight": op.weight}


def embedding(op: ops.Embedding) -> nn.Embedding:
    """A layer of the op's sizes; which ids are padding is said by the mask, ``ids != 0``."""
    return nn.Embedding(op.num_embeddings, op.embedding_dim, padding_idx=op.padding_idx)


@writes(ops.Embedding)
def write_embedding(op: ops.Embedding, writer: GraphWriter, inputs: Inputs, masks: Masks) -> Outputs:
    """``self.embedding(ids)``."""
    return (writer.module(embedding, inputs[0]),)
