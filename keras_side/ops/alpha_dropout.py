"""Keras ``AlphaDropout`` <-> `ops.AlphaDropout`."""

from __future__ import annotations

from biport import ops
from keras_side.masks import pass_mask
from keras_side.records import LayerRecord, WrittenLayer
from keras_side.registry import reads, writes


@reads("AlphaDropout", masks=pass_mask)
def read_alpha_dropout(record: LayerRecord) -> ops.AlphaDropout:
    """Read an AlphaDropout; a ``noise_shape`` of its own is refused, torch has none."""
    with record.settings() as config:
        rate = config.take("rate", (int, float))
        config.require(noise_shape=None)
        config.ignore("seed")
    return ops.AlphaDropout(rate=float(rate))


@writes(ops.AlphaDropout)
def write_alpha_dropout(op: ops.AlphaDropout) -> WrittenLayer:
    """Write an AlphaDropout."""
    return WrittenLayer(class_name="AlphaDropout", config={"rate": op.rate})
