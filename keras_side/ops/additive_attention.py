"""Keras ``AdditiveAttention`` <-> `ops.AdditiveAttention`."""

from __future__ import annotations

from biport import ops
from keras_side.attention import one_head_calls
from keras_side.masks import pass_queries_mask
from keras_side.ops.batch_normalization import present
from keras_side.records import LayerRecord, WrittenLayer
from keras_side.registry import reads, writes


@reads("AdditiveAttention", masks=pass_queries_mask, calls=one_head_calls)
def read_additive_attention(record: LayerRecord) -> ops.AdditiveAttention:
    """Read an AdditiveAttention; causality and scores are settings of its calls."""
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
        takes_list=True,
    )
