"""Keras' attention layers <-> `ops.Attention`, `ops.AdditiveAttention` and `ops.MultiHeadAttention`.

Causality and scores are settings of their calls, see `keras_side.shared.attention`.
"""

from __future__ import annotations

import numpy as np

from biport import ops
from biport.config import Config
from biport.errors import WeightError
from biport.ops.attention import PROJECTIONS
from keras_side.masks import mask_scores, pass_queries_mask
from keras_side.records import LayerRecord, WrittenLayer, present
from keras_side.registry import reads, writes
from keras_side.shared.attention import many_head_calls, one_head_calls


@reads("Attention", masks=pass_queries_mask, calls=one_head_calls)
def read_attention(record: LayerRecord) -> ops.Attention:
    """Read an Attention."""
    with record.settings() as config:
        use_scale = config.take("use_scale", bool, default=False)
        score_mode = config.choose("score_mode", ("dot", "concat"), default="dot")
        dropout = config.take("dropout", (int, float), default=0.0)
        config.ignore("seed")
    names = [*(["scale"] if use_scale else []), *(["concat_score_weight"] if score_mode == "concat" else [])]
    weights = record.variables.take(names) if names else {}
    return ops.Attention(
        score_mode=score_mode,
        dropout=float(dropout),
        scale=weights.get("scale"),
        score_weight=weights.get("concat_score_weight"),
    )


@writes(ops.Attention)
def write_attention(op: ops.Attention) -> WrittenLayer:
    """Write an Attention."""
    return WrittenLayer(
        class_name="Attention",
        config={"use_scale": op.scale is not None, "score_mode": op.score_mode, "dropout": op.dropout},
        weights=present(op.scale, op.score_weight),
    )


@reads("AdditiveAttention", masks=pass_queries_mask, calls=one_head_calls)
def read_additive_attention(record: LayerRecord) -> ops.AdditiveAttention:
    """Read an AdditiveAttention."""
    with record.settings() as config:
        use_scale = config.take("use_scale", bool, default=True)
        dropout = config.take("dropout", (int, float), default=0.0)
        config.ignore("seed")
    weights = record.variables.take(["scale"]) if use_scale else {}
    return ops.AdditiveAttention(dropout=float(dropout), scale=weights.get("scale"))


@writes(ops.AdditiveAttention)
def write_additive_attention(op: ops.AdditiveAttention) -> WrittenLayer:
    """Write an AdditiveAttention."""
    return WrittenLayer(
        class_name="AdditiveAttention",
        config={"use_scale": op.scale is not None, "dropout": op.dropout},
        weights=present(op.scale),
    )


def _take_output_size(config: Config) -> None:
    """Account for the size of the output, which the weights say; of several axes it is refused."""
    shape = config.take("output_shape", (int, list, tuple, type(None)), default=None)
    if isinstance(shape, list | tuple) and len(shape) != 1:
        config.refuse("output_shape", list(shape), "one size")


@reads("MultiHeadAttention", masks=mask_scores, calls=many_head_calls)
def read_multi_head_attention(record: LayerRecord) -> ops.MultiHeadAttention:
    """Read a MultiHeadAttention; its kernels are ``(I, P, K)``, that of the output ``(P, V, O)``."""
    with record.settings() as config:
        num_heads = config.take("num_heads", int)
        key_size = config.take("key_dim", int)
        value_size = config.take("value_dim", (int, type(None)), default=None)
        dropout = config.take("dropout", (int, float), default=0.0)
        use_bias = config.take("use_bias", bool, default=True)
        config.choose("attention_axes", (None, [1], (1,)), default=None)
        _take_output_size(config)
        config.require(use_gate=False, sliding_window=None)
        config.choose("flash_attention", (None, False), default=None)
        config.ignore("seed")
    weights: dict[str, np.ndarray | None] = {}
    for part in PROJECTIONS:
        variables = record.variables.child(f"{part}_dense")
        arrays = variables.take(["kernel", "bias"] if use_bias else ["kernel"])
        kernel, bias = arrays["kernel"], arrays.get("bias")
        if kernel.ndim != 3:
            raise WeightError(f"{record.owner}: {part}: the kernel should have 3 axes, found {kernel.shape}")
        rows = kernel.shape[0] * kernel.shape[1] if part == "output" else kernel.shape[0]
        weights[f"{part}_weight"] = kernel.reshape(rows, kernel.size // max(rows, 1)).T
        weights[f"{part}_bias"] = None if bias is None else bias.reshape(-1)
    return ops.MultiHeadAttention(
        num_heads=num_heads,
        key_size=key_size,
        value_size=value_size or key_size,
        dropout=float(dropout),
        **weights,  # pyright: ignore[reportArgumentType]
    )


@writes(ops.MultiHeadAttention)
def write_multi_head_attention(op: ops.MultiHeadAttention) -> WrittenLayer:
    """Write a MultiHeadAttention."""
    weights = []
    for part, size in zip(PROJECTIONS, (op.key_size, op.key_size, op.value_size, None), strict=True):
        weight, bias = getattr(op, f"{part}_weight"), getattr(op, f"{part}_bias")
        inner = (weight.shape[1], op.num_heads, size)
        outer = (op.num_heads, op.value_size, weight.shape[0])
        weights.append(weight.T.reshape(outer if size is None else inner))
        if bias is not None:
            weights.append(bias if size is None else bias.reshape(op.num_heads, size))
    config = {
        "num_heads": op.num_heads,
        "key_dim": op.key_size,
        "value_dim": op.value_size,
        "use_bias": op.query_bias is not None,
        "dropout": op.dropout,
    }
    if op.output_weight.shape[0] != op.query_weight.shape[1]:
        config["output_shape"] = (op.output_weight.shape[0],)
    return WrittenLayer(class_name="MultiHeadAttention", config=config, weights=weights)
