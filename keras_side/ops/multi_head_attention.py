"""Keras ``MultiHeadAttention`` <-> `ops.MultiHeadAttention`."""

from __future__ import annotations

import numpy as np

from biport import ops
from biport.errors import WeightError
from biport.ops.attention import PROJECTIONS
from keras_side.attention import many_head_calls
from keras_side.masks import pass_queries_mask
from keras_side.records import LayerRecord, WrittenLayer
from keras_side.registry import reads, writes


@reads("MultiHeadAttention", masks=pass_queries_mask, calls=many_head_calls)
def read_multi_head_attention(record: LayerRecord) -> ops.MultiHeadAttention:
    """Read a MultiHeadAttention; its kernels are ``(I, P, K)``, that of the output ``(P, V, O)``."""
    with record.settings() as config:
        num_heads = config.take("num_heads", int)
        key_size = config.take("key_dim", int)
        value_size = config.take("value_dim", (int, type(None)), default=None)
        dropout = config.take("dropout", (int, float), default=0.0)
        use_bias = config.take("use_bias", bool, default=True)
        config.choose("attention_axes", (None, [1], (1,)), default=None)
        config.require(output_shape=None, use_gate=False, sliding_window=None, flash_attention=None)
        config.ignore("seed")
    weights: dict[str, np.ndarray | None] = {}
    for part in PROJECTIONS:
        variables = record.variables.child(f"{part}_dense")
        found = variables.take(["kernel", "bias"] if use_bias else ["kernel"])
        kernel, bias = found["kernel"], found.get("bias")
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
    return WrittenLayer(class_name="MultiHeadAttention", config=config, weights=weights)
