"""The steps of one sequence look at the steps of another: with one head, and with several."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import reduce

import numpy as np

from biport.ops import AdditiveAttention, Attention, MultiHeadAttention
from biport.ops.attention import OneHead
from biport.reference.activation import MASKED_SCORE
from biport.reference.functions import softmax
from biport.reference.registry import Arrays, Masks, computes

LOWERED = np.float32(1e9)
"""What is taken off a score that does not count (keras/src/layers/attention/attention.py)."""

LOWEST_SCORE = -0.7 * 3.38953e38
"""What stands for one in a `MultiHeadAttention` (keras/src/backend/tensorflow/nn.py); where its weights are
0 in the end, `MASKED_SCORE` does."""


@computes(Attention)
def attention(op: Attention, inputs: Arrays, masks: Masks) -> tuple[np.ndarray, ...]:
    """By products, or by the tanh of sums."""

    def scores(query: np.ndarray, key: np.ndarray) -> np.ndarray:
        scale = query.dtype.type(1) if op.scale is None else op.scale
        if op.score_mode == "dot":
            return query @ key.swapaxes(1, 2) * scale
        return op.score_weight * np.tanh(scale * _sums(query, key)).sum(axis=-1)

    return _attend(op, scores, inputs, masks)


@computes(AdditiveAttention)
def additive_attention(op: AdditiveAttention, inputs: Arrays, masks: Masks) -> tuple[np.ndarray, ...]:
    """By the tanh of sums."""

    def scores(query: np.ndarray, key: np.ndarray) -> np.ndarray:
        terms = np.tanh(_sums(query, key))
        return (terms if op.scale is None else op.scale * terms).sum(axis=-1)

    return _attend(op, scores, inputs, masks)


def _sums(query: np.ndarray, key: np.ndarray) -> np.ndarray:
    """Every query and every key added up, ``(N, S, T, I)``."""
    return query[:, :, None] + key[:, None]


def counting(query: np.ndarray, key: np.ndarray, mask: np.ndarray | None, causal: bool) -> np.ndarray | None:
    """Which step of the keys each query looks at, ``(N or 1, S or 1, T)``; ``None`` for all."""
    steps = np.tri(query.shape[1], key.shape[1], dtype=bool)[None] if causal else None
    if mask is None:
        return steps
    return mask[:, None] if steps is None else mask[:, None] & steps


def weights_of(scores: np.ndarray) -> np.ndarray:
    """The softmax over the last axis; of nothing it is nothing."""
    return softmax(scores, -1) if scores.size else scores


def _attend(
    op: OneHead,
    score: Callable[[np.ndarray, np.ndarray], np.ndarray],
    inputs: Arrays,
    masks: Masks,
) -> tuple[np.ndarray, ...]:
    query, value, key = inputs[0], inputs[1], inputs[-1]
    scores = score(query, key)
    counts = counting(query, key, masks[1], op.causal)
    if counts is not None:
        lowered = (scores.astype(np.float32) - LOWERED).astype(scores.dtype)
        scores = np.where(counts, scores, lowered)
    weights = weights_of(scores)
    output = weights @ value
    if masks[0] is not None:
        output = np.where(masks[0][:, :, None], output, output.dtype.type(0))
    return (output, weights) if op.return_scores else (output,)


@computes(MultiHeadAttention)
def multi_head_attention(op: MultiHeadAttention, inputs: Arrays, masks: Masks) -> tuple[np.ndarray, ...]:
    """By products in every head."""
    query, value, key = inputs[0], inputs[1], inputs[-1]
    queries = _heads(op, _affine(query, op.query_weight, op.query_bias))
    keys = _heads(op, _affine(key, op.key_weight, op.key_bias))
    values = _heads(op, _affine(value, op.value_weight, op.value_bias))
    scores = queries @ keys.swapaxes(2, 3) / query.dtype.type(math.sqrt(op.key_size))
    counts = counting(query, key, _both([mask for mask in masks[1:] if mask is not None]), op.causal)
    if masks[0] is not None:
        counts = masks[0][:, :, None] if counts is None else counts & masks[0][:, :, None]
    if counts is None:
        weights = weights_of(scores)
    else:
        counts = counts[:, None]
        fill = scores.dtype.type(MASKED_SCORE if op.forgets else LOWEST_SCORE)
        weights = weights_of(np.where(counts, scores, fill))
        if op.forgets:
            weights = np.where(counts, weights, weights.dtype.type(0))
    joined = (weights @ values).swapaxes(1, 2)
    joined = joined.reshape(*joined.shape[:2], op.num_heads * op.value_size)
    output = _affine(joined, op.output_weight, op.output_bias)
    return (output, weights) if op.return_scores else (output,)


def _both(masks: list[np.ndarray]) -> np.ndarray | None:
    return reduce(np.logical_and, masks) if masks else None


def _affine(x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None) -> np.ndarray:
    product = x @ weight.T
    return product if bias is None else product + bias


def _heads(op: MultiHeadAttention, x: np.ndarray) -> np.ndarray:
    """``(N, T, P·K)`` to ``(N, P, T, K)``."""
    return x.reshape(*x.shape[:2], op.num_heads, x.shape[2] // op.num_heads).swapaxes(1, 2)
