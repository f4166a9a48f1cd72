"""The steps of one sequence look at the steps of another: with one head, and with several."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import reduce

import numpy as np

from biport.ops import AdditiveAttention, Attention, MultiHeadAttention
from biport.ops.attention import Attends, OneHead
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


def _all_of(masks: Sequence[np.ndarray | None]) -> np.ndarray | None:
    """What all of the masks there are let count; ``None`` where there is none."""
    given = [mask for mask in masks if mask is not None]
    return reduce(np.logical_and, given) if given else None


def _causal(op: Attends, query: np.ndarray, key: np.ndarray) -> np.ndarray | None:
    """Each query's steps up to its own, ``(1, S, T)``."""
    return np.tri(query.shape[1], key.shape[1], dtype=bool)[None] if op.causal else None


def weights_of(scores: np.ndarray) -> np.ndarray:
    """The softmax over the last axis; of nothing it is nothing."""
    return softmax(scores, -1) if scores.size else scores


def _attend(
    op: OneHead,
    score: Callable[[np.ndarray, np.ndarray], np.ndarray],
    inputs: Arrays,
    masks: Masks,
) -> tuple[np.ndarray, ...]:
    sequences, attention_mask = op.split(inputs)
    query, value, key = sequences[0], sequences[1], sequences[-1]
    scores = score(query, key)
    values_mask = None if masks[1] is None else masks[1][:, None]
    counts = _all_of([values_mask, _causal(op, query, key), attention_mask])
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
    sequences, attention_mask = op.split(inputs)
    query, value, key = sequences[0], sequences[1], sequences[-1]
    queries = _heads(op, _affine(query, op.query_weight, op.query_bias))
    keys = _heads(op, _affine(key, op.key_weight, op.key_bias))
    values = _heads(op, _affine(value, op.value_weight, op.value_bias))
    scores = queries @ keys.swapaxes(2, 3) / query.dtype.type(math.sqrt(op.key_size))
    counts = _counting(op, query, key, masks, attention_mask)
    if counts is None:
        weights = weights_of(scores)
    else:
        fill = scores.dtype.type(MASKED_SCORE if op.forgets else LOWEST_SCORE)
        weights = weights_of(np.where(counts, scores, fill))
        if op.forgets:
            weights = np.where(counts, weights, weights.dtype.type(0))
    joined = (weights @ values).swapaxes(1, 2)
    joined = joined.reshape(*joined.shape[:2], op.num_heads * op.value_size)
    output = _affine(joined, op.output_weight, op.output_bias)
    return (output, weights) if op.return_scores else (output,)


def _counting(
    op: MultiHeadAttention,
    query: np.ndarray,
    key: np.ndarray,
    masks: Masks,
    attention_mask: np.ndarray | None,
) -> np.ndarray | None:
    """Which step of the keys each query looks at, sizes of ``(N, P, S, T)`` or 1; ``None`` for all."""
    wide = [None if mask is None else mask[:, None] for mask in masks[1:]]
    queries_mask = None if masks[0] is None else masks[0][:, :, None]
    every_head = _all_of([*wide, queries_mask, _causal(op, query, key)])
    if attention_mask is not None and attention_mask.ndim == 3:
        attention_mask = attention_mask[:, None]
    return _all_of([None if every_head is None else every_head[:, None], attention_mask])


def _affine(x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None) -> np.ndarray:
    product = x @ weight.T
    return product if bias is None else product + bias


def _heads(op: MultiHeadAttention, x: np.ndarray) -> np.ndarray:
    """``(N, T, P·K)`` to ``(N, P, T, K)``."""
    return x.reshape(*x.shape[:2], op.num_heads, x.shape[2] // op.num_heads).swapaxes(1, 2)
