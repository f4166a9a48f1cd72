"""Attention to ``MatMul``, or ``Tanh`` of sums, and ``Softmax``; the heads of several are an axis."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import numpy as np
import onnx_ir as ir

from biport.ops import AdditiveAttention, Attention, MultiHeadAttention
from biport.ops.attention import Attends, OneHead
from biport.reference.activation import MASKED_SCORE
from biport.reference.attention import LOWEST_SCORE
from export.onnx.lazy_value import LazyValue
from export.onnx.site import Site
from export.registry import writes

ZERO = np.zeros((), "float32")
LOWERED = np.asarray(1e9, "float32")


@writes(Attention)
def write_attention(op: Attention, site: Site) -> tuple[LazyValue, ...]:
    """``(N, S, I)`` and ``(N, T, O)`` to ``(N, S, O)``."""
    scope = site.scope

    def scaled(value: ir.Value) -> ir.Value:
        return value if op.scale is None else scope("Mul", value, scope.constant(op.scale, "scale"))

    def score(query: ir.Value, key: ir.Value) -> ir.Value:
        if op.score_weight is None:
            return scaled(scope("MatMul", query, scope("Transpose", key, perm=[0, 2, 1])))
        summed = scope("ReduceSum", scope("Tanh", scaled(_sums(site, query, key))), [3], keepdims=0)
        return scope("Mul", summed, scope.constant(op.score_weight, "score_weight"))

    return _one_head(op, site, score)


@writes(AdditiveAttention)
def write_additive_attention(op: AdditiveAttention, site: Site) -> tuple[LazyValue, ...]:
    """``(N, S, I)`` and ``(N, T, O)`` to ``(N, S, O)``."""
    scope = site.scope

    def score(query: ir.Value, key: ir.Value) -> ir.Value:
        features = scope("Tanh", _sums(site, query, key))
        if op.scale is not None:
            features = scope("Mul", features, scope.constant(op.scale, "scale"))
        return scope("ReduceSum", features, [3], keepdims=0)

    return _one_head(op, site, score)


@writes(MultiHeadAttention)
def write_multi_head_attention(op: MultiHeadAttention, site: Site) -> tuple[LazyValue, ...]:
    """``(N, S, I)``, ``(N, T, J)`` and ``(N, T, L)`` to ``(N, S, O)``."""
    scope = site.scope
    sequences, _ = op.split(site.inputs)
    query, value, key = sequences[0], sequences[1], sequences[-1]

    def heads(part: str, x: ir.Value, size: int) -> ir.Value:
        """``(N, T, I)`` to ``(N, T, P, K)``."""
        return scope("Reshape", _affine(op, site, part, x), [0, 0, op.num_heads, size])

    @cache
    def weights() -> ir.Value:
        queries = scope("Transpose", heads("query", query.value(), op.key_size), perm=[0, 2, 1, 3])
        keys = scope("Transpose", heads("key", key.value(), op.key_size), perm=[0, 2, 3, 1])
        scores = scope("Div", scope("MatMul", queries, keys), np.asarray(math.sqrt(op.key_size), "float32"))
        counts = _counts_for_heads(op, site)
        if counts is None:
            return scope("Softmax", scores, axis=-1)
        fill = np.asarray(MASKED_SCORE if op.forgets else LOWEST_SCORE, "float32")
        shares = scope("Softmax", scope("Where", counts, scores, fill), axis=-1)
        return scope("Where", counts, shares, ZERO) if op.forgets else shares

    def write() -> ir.Value:
        values = scope("Transpose", heads("value", value.value(), op.value_size), perm=[0, 2, 1, 3])
        weighted = scope("Transpose", scope("MatMul", weights(), values), perm=[0, 2, 1, 3])
        return _affine(op, site, "output", scope("Reshape", weighted, [0, 0, op.num_heads * op.value_size]))

    return _with_scores(op, site, write, weights)


def _one_head(
    op: OneHead, site: Site, score: Callable[[ir.Value, ir.Value], ir.Value]
) -> tuple[LazyValue, ...]:
    """An attention with the scores ``score(queries, keys)``, ``(N, S, T)``."""
    scope = site.scope
    sequences, attention_mask = op.split(site.inputs)
    query, value, key = sequences[0], sequences[1], sequences[-1]
    queries_mask, values_mask = site.masks[:2]

    @cache
    def weights() -> ir.Value:
        scores = score(query.value(), key.value())
        counts = _counts(op, site, None if values_mask is None else values_mask.value())
        counts = _all_of(site, counts, attention_mask)
        if counts is not None:
            scores = scope("Where", counts, scores, scope("Sub", scores, LOWERED))
        return scope("Softmax", scores, axis=-1)

    def write() -> ir.Value:
        weighted = scope("MatMul", weights(), value.value())
        if queries_mask is None:
            return weighted
        return scope("Where", scope("Unsqueeze", queries_mask.value(), [2]), weighted, ZERO)

    return _with_scores(op, site, write, weights)


def _with_scores(
    op: Attends, site: Site, write: Callable[[], ir.Value], weights: Callable[[], ir.Value]
) -> tuple[LazyValue, ...]:
    output = site.lazy(write, root=site.inputs[0])
    return (output, site.lazy(weights, output=1)) if op.return_scores else (output,)


def _sums(site: Site, query: ir.Value, key: ir.Value) -> ir.Value:
    """Every query and every key added up, ``(N, S, T, I)``."""
    return site.scope("Add", site.scope("Unsqueeze", query, [2]), site.scope("Unsqueeze", key, [1]))


def _counts(op: Attends, site: Site, mask: ir.Value | None) -> ir.Value | None:
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


def _counts_for_heads(op: MultiHeadAttention, site: Site) -> ir.Value | None:
    """`_counts` under all masks, sizes of ``(N, P, S, T)`` or 1."""
    scope = site.scope
    queries, *others = (None if mask is None else mask.value() for mask in site.masks)
    given = [mask for mask in others if mask is not None]
    mask = scope("And", *given) if len(given) == 2 else next(iter(given), None)
    counts = _counts(op, site, mask)
    if queries is not None:
        wide = scope("Unsqueeze", queries, [2])
        counts = wide if counts is None else scope("And", counts, wide)
    if counts is not None:
        counts = scope("Unsqueeze", counts, [1] if queries is not None or mask is not None else [0, 1])
    _, attention_mask = op.split(site.inputs)
    if attention_mask is None or len(attention_mask.tensor.shape) == 4:
        return _all_of(site, counts, attention_mask)
    every_head = scope("Unsqueeze", attention_mask.value(), [1])
    return every_head if counts is None else scope("And", counts, every_head)


def _all_of(site: Site, counts: ir.Value | None, attention_mask: LazyValue | None) -> ir.Value | None:
    """What counts, where the attention mask is true too."""
    if attention_mask is None:
        return counts
    mask = attention_mask.value()
    return mask if counts is None else site.scope("And", counts, mask)


def _affine(op: MultiHeadAttention, site: Site, part: str, x: ir.Value) -> ir.Value:
    weight, bias = getattr(op, f"{part}_weight"), getattr(op, f"{part}_bias")
    z = site.scope("MatMul", x, site.scope.constant(weight.T, f"{part}_weight"))
    return z if bias is None else site.scope("Add", z, site.scope.constant(bias, f"{part}_bias"))
