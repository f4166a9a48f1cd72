"""What the attention layers share: which steps are looked at, and the sum of the steps so weighted."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import onnx_ir as ir

from biport.ops.attention import Attends, OneHead
from export.registry import Flow, Site

ZERO = np.zeros((), "float32")
LOWERED = np.asarray(1e9, "float32")


def counting(op: Attends, site: Site, mask: ir.Value | None) -> ir.Value | None:
    """Which step of the keys each query looks at, ``(N or 1, S or 1, T)``; ``None`` for all."""
    scope = site.scope
    wide = None if mask is None else scope("Unsqueeze", mask, [1])
    if not op.causal:
        return wide

    def steps(position: int) -> ir.Value:
        size = scope("Shape", site.inputs[position].value(), start=1, end=2)
        zero, one = (scope.constant(np.asarray(number, "int64"), str(number)) for number in (0, 1))
        return scope("Range", zero, scope("Squeeze", size, [0]), one)

    causal = scope("GreaterOrEqual", scope("Unsqueeze", steps(0), [1]), steps(1))
    return causal if wide is None else scope("And", wide, causal)


def one_head(op: OneHead, site: Site, score: Callable[[ir.Value, ir.Value], ir.Value]) -> tuple[Flow, ...]:
    """The flows of an attention with the scores ``score(queries, keys)``, ``(N, S, T)``."""
    scope = site.scope
    query, value, key = site.inputs[0], site.inputs[1], site.inputs[-1]
    queries_mask, values_mask = site.masks[:2]

    @cache
    def weights() -> ir.Value:
        scores = score(query.value(), key.value())
        counts = counting(op, site, None if values_mask is None else values_mask.value())
        if counts is not None:
            scores = scope("Where", counts, scores, scope("Sub", scores, LOWERED))
        return scope("Softmax", scores, axis=-1)

    def make() -> ir.Value:
        made = scope("MatMul", weights(), value.value())
        if queries_mask is None:
            return made
        return scope("Where", scope("Unsqueeze", queries_mask.value(), [2]), made, ZERO)

    flows = (site.flow(make, root=query),)
    return (*flows, site.flow(weights, output=1)) if op.return_scores else flows


def sums(site: Site, query: ir.Value, key: ir.Value) -> ir.Value:
    """Every query and every key added up, ``(N, S, T, I)``."""
    return site.scope("Add", site.scope("Unsqueeze", query, [2]), site.scope("Unsqueeze", key, [1]))
