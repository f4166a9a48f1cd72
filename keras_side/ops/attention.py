"""Keras ``Attention`` <-> `ops.Attention`."""

from __future__ import annotations

from biport import ops
from keras_side.attention import one_head_calls
from keras_side.masks import pass_queries_mask
from keras_side.ops.batch_normalization import present
from keras_side.records import LayerRecord, WrittenLayer
from keras_side.registry import reads, writes


@reads("Attention", masks=pass_queries_mask, calls=one_head_calls)
def read_attention(record: LayerRecord) -> ops.Attention:
    """Read an Attention; causality and scores are settings of its calls."""
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
        takes_list=True,
    )
