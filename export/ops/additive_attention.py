"""`ops.AdditiveAttention` to ``Tanh`` of sums and ``Softmax``."""

from __future__ import annotations

import onnx_ir as ir

from biport.ops import AdditiveAttention
from export.attention import one_head, sums
from export.registry import Flow, Site, writes


@writes(AdditiveAttention)
def write_additive_attention(op: AdditiveAttention, site: Site) -> tuple[Flow, ...]:
    """``(N, S, I)`` and ``(N, T, O)`` to ``(N, S, O)``."""
    scope = site.scope

    def score(query: ir.Value, key: ir.Value) -> ir.Value:
        made = scope("Tanh", sums(site, query, key))
        if op.scale is not None:
            made = scope("Mul", made, scope.constant(op.scale, "scale"))
        return scope("ReduceSum", made, [3], keepdims=0)

    return one_head(op, site, score)
