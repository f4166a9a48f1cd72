"""`ops.MultiHeadAttention` to ``MatMul`` and ``Softmax``, its heads an axis."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import onnx_ir as ir

from biport.ops import MultiHeadAttention
from biport.reference.multi_head_attention import FORGOTTEN, MASKED
from export.attention import ZERO, counting
from export.registry import Flow, Site, writes


@writes(MultiHeadAttention)
def write_multi_head_attention(op: MultiHeadAttention, site: Site) -> tuple[Flow, ...]:
    """``(N, S, I)``, ``(N, T, J)`` and ``(N, T, L)`` to ``(N, S, O)``."""
    scope = site.scope
    query, value, key = site.inputs[0], site.inputs[1], site.inputs[-1]

    def heads(part: str, x: ir.Value, size: int) -> ir.Value:
        """``(N, T, I)`` to ``(N, T, P, K)``."""
        return scope("Reshape", _affine(op, site, part, x), [0, 0, op.num_heads, size])

    @cache
    def weights() -> ir.Value:
        queries = scope("Transpose", heads("query", query.value(), op.key_size), perm=[0, 2, 1, 3])
        keys = scope("Transpose", heads("key", key.value(), op.key_size), perm=[0, 2, 3, 1])
        scores = scope("Div", scope("MatMul", queries, keys), np.asarray(math.sqrt(op.key_size), "float32"))
        counts = _counting(op, site)
        if counts is None:
            return scope("Softmax", scores, axis=-1)
        fill = np.asarray(FORGOTTEN if op.forgets else MASKED, "float32")
        made = scope("Softmax", scope("Where", counts, scores, fill), axis=-1)
        return scope("Where", counts, made, ZERO) if op.forgets else made

    def make() -> ir.Value:
        values = scope("Transpose", heads("value", value.value(), op.value_size), perm=[0, 2, 1, 3])
        found = scope("Transpose", scope("MatMul", weights(), values), perm=[0, 2, 1, 3])
        return _affine(op, site, "output", scope("Reshape", found, [0, 0, op.num_heads * op.value_size]))

    flows = (site.flow(make, root=query),)
    return (*flows, site.flow(weights, output=1)) if op.return_scores else flows


def _affine(op: MultiHeadAttention, site: Site, part: str, x: ir.Value) -> ir.Value:
    weight, bias = getattr(op, f"{part}_weight"), getattr(op, f"{part}_bias")
    z = site.scope("MatMul", x, site.scope.constant(weight.T, f"{part}_weight"))
    return z if bias is None else site.scope("Add", z, site.scope.constant(bias, f"{part}_bias"))


def _counting(op: MultiHeadAttention, site: Site) -> ir.Value | None:
    """Which step of the keys each query looks at, ``(N or 1, 1, S or 1, T or 1)``; ``None`` for all."""
    scope = site.scope
    queries, *others = (None if mask is None else mask.value() for mask in site.masks)
    given = [mask for mask in others if mask is not None]
    mask = scope("And", *given) if len(given) == 2 else next(iter(given), None)
    counts = counting(op, site, mask)
    if queries is not None:
        wide = scope("Unsqueeze", queries, [2])
        counts = wide if counts is None else scope("And", counts, wide)
    if counts is None:
        return None
    return scope("Unsqueeze", counts, [1] if queries is not None or mask is not None else [0, 1])
