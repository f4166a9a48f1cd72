"""The attention that is one operator of torch; all other is read as the products and sums it is made of."""

from __future__ import annotations

import math

import numpy as np

from biport import ops
from torch_side.reading.aten_call import AtenCall
from torch_side.registry import reads_aten


@reads_aten("scaled_dot_product_attention.default")
def read_scaled_dot_product_attention(call: AtenCall) -> str:
    """``softmax(query @ key.T * scale + mask) @ value``; a row that looks at nothing is NaN."""
    if call["dropout_p"]:
        raise call.refuse("dropout_p", call["dropout_p"], "0.0, or training aside")
    if call["enable_gqa"]:
        raise call.refuse("enable_gqa", True, False)
    query, key, value = (call.value(name) for name in ("query", "key", "value"))
    size = call.tensor(query).shape[-1]
    if not isinstance(size, int):
        raise call.refuse("query", call.tensor(query), "a last axis of a fixed size")
    scale = 1 / math.sqrt(size) if call["scale"] is None else call["scale"]
    rank = call.rank(key)
    turned = call.apply(ops.PermuteDims(axes=(*range(rank - 2), rank - 1, rank - 2)), key)
    scores = call.apply(ops.MatMul(), query, turned)
    scores = call.compute("multiply", scores, call.like(scale, scores))
    weights = call.apply(ops.Activation(function="softmax"), _masked(call, scores))
    return call.apply(ops.MatMul(), weights, value)


def _masked(call: AtenCall, scores: str) -> str:
    """The scores of steps that are not to be looked at made minus infinity; a mask of numbers is added."""
    if call["is_causal"]:
        rows, columns = call.tensor(scores).shape[-2:]
        row = call.apply(ops.ExpandDims(axes=(1,)), call.apply(ops.Arange(stop=rows)))
        seen = call.compute("less_equal", call.apply(ops.Arange(stop=columns)), row)
    elif call.has("attn_mask"):
        seen = call.value("attn_mask")
        if call.dtype(seen) != "bool":
            return call.compute("add", scores, call.cast(seen, call.dtype(scores)))
    else:
        return scores
    return call.apply(ops.Where(), seen, scores, call.like(-np.inf, scores))
