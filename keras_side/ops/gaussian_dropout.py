"""Keras ``GaussianDropout`` <-> `ops.GaussianDropout`."""

from __future__ import annotations

from biport import ops
from keras_side.masks import pass_mask
from keras_side.records import LayerRecord, WrittenLayer
from keras_side.registry import reads, writes


@reads("GaussianDropout", masks=pass_mask)
def read_gaussian_dropout(record: LayerRecord) -> ops.GaussianDropout:
    """Read a GaussianDropout."""
    with record.settings() as config:
        rate = config.take("rate", (int, float))
        config.ignore("seed")
    return ops.GaussianDropout(rate=float(rate))


@writes(ops.GaussianDropout)
def write_gaussian_dropout(op: ops.GaussianDropout) -> WrittenLayer:
    """Write a GaussianDropout."""
    return WrittenLayer(class_name="GaussianDropout", config={"rate": op.rate})
