"""`ops.MultiHeadAttention`."""

from __future__ import annotations

import math
from functools import reduce

import numpy as np

from biport.ops import MultiHeadAttention
from biport.reference.attention import counting, weights_of
from biport.reference.registry import Arrays, Masks, computes

MASKED = -0.7 * 3.38953e38
"""What stands for a score that does not count (keras/src/backend/tensorflow/nn.py)."""

FORGOTTEN = -1e9
"""The same where such weights are 0 in the end (keras/src/layers/activations/softmax.py)."""


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
        fill = scores.dtype.type(FORGOTTEN if op.forgets else MASKED)
        weights = weights_of(np.where(counts, scores, fill))
        if op.forgets:
            weights = np.where(counts, weights, weights.dtype.type(0))
    joined = (weights @ values).swapaxes(1, 2)
    joined = joined.reshape(*joined.shape[:2], op.num_heads * op.value_size)
    made = _affine(joined, op.output_weight, op.output_bias)
    return (made, weights) if op.return_scores else (made,)


def _both(masks: list[np.ndarray]) -> np.ndarray | None:
    return reduce(np.logical_and, masks) if masks else None


def _affine(x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None) -> np.ndarray:
    made = x @ weight.T
    return made if bias is None else made + bias


def _heads(op: MultiHeadAttention, x: np.ndarray) -> np.ndarray:
    """``(N, T, P·K)`` to ``(N, P, T, K)``."""
    return x.reshape(*x.shape[:2], op.num_heads, x.shape[2] // op.num_heads).swapaxes(1, 2)
