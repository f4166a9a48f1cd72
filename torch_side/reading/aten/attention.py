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
        raise call.refuse("enable_gqa", True, "False")
    query, key, value = (call.value(name) for name in ("query", "key", "value"))
    rank = call.rank(key)
    turned = call.apply(ops.PermuteDims(axes=(*range(rank - 2), rank - 1, rank - 2)), key)
    scores = call.apply(ops.MatMul(), query, turned)
    masked = _masked(call, call.compute("multiply", scores, _scale(call, query)))
    weights = call.apply(ops.Activation(function="softmax"), masked)
    if call.has("attn_mask"):
        nothing = call.compute("equal", masked, call.like(-np.inf, masked))
        nothing = call.apply(ops.Reduction(function="all", axes=(rank - 1,), keepdims=True), nothing)
        weights = call.apply(ops.Where(), nothing, call.like(0, weights), weights)
    return call.apply(ops.MatMul(), weights, value)


def _scale(call: AtenCall, query: str) -> str:
    """What the scores are multiplied by: the one that is given, or ``1 / sqrt(size)``."""
    size = call.tensor(query).shape[-1]
    if call["scale"] is not None or isinstance(size, int):
        given = call["scale"]
        return call.like(1 / math.sqrt(size) if given is None else given, query)  # type: ignore[arg-type]
    wide = call.cast(call.apply(ops.SizeOf(size=size)), call.dtype(query))
    return call.compute("rsqrt", wide)


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
