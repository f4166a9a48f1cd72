"""Tables of rows."""

from __future__ import annotations

from biport import ops
from torch_side.reading.aten_call import AtenCall
from torch_side.reading.layer_call import build
from torch_side.registry import reads_aten


@reads_aten("embedding.default")
def read_embedding(call: AtenCall) -> str:
    """`nn.Embedding`."""
    ids, weight = call.value("indices"), call.array("weight")
    assert weight is not None
    padding = call["padding_idx"]
    op = build(
        call.owner,
        ops.Embedding,
        num_embeddings=weight.shape[0],
        embedding_dim=weight.shape[1],
        padding_idx=None if padding < 0 else padding,
        weight=weight,
    )
    return call.apply(op, ids, key=("embedding", call["weight"]))
