"""`ops.Attention` to ``MatMul``, or ``Tanh`` of sums, and ``Softmax``."""

from __future__ import annotations

import onnx_ir as ir

from biport.ops import Attention
from export.attention import one_head, sums
from export.registry import Flow, Site, writes


@writes(Attention)
def write_attention(op: Attention, site: Site) -> tuple[Flow, ...]:
    """``(N, S, I)`` and ``(N, T, O)`` to ``(N, S, O)``."""
    scope = site.scope

    def scaled(value: ir.Value) -> ir.Value:
        return value if op.scale is None else scope("Mul", value, scope.constant(op.scale, "scale"))

    def score(query: ir.Value, key: ir.Value) -> ir.Value:
        if op.score_weight is None:
            return scaled(scope("MatMul", query, scope("Transpose", key, perm=[0, 2, 1])))
        made = scope("ReduceSum", scope("Tanh", scaled(sums(site, query, key))), [3], keepdims=0)
        return scope("Mul", made, scope.constant(op.score_weight, "score_weight"))

    return one_head(op, site, score)
