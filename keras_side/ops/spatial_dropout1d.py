"""Keras ``SpatialDropout1D`` <-> `ops.SpatialDropout1D`."""

from __future__ import annotations

from biport import ops
from keras_side.masks import pass_mask
from keras_side.records import LayerRecord, WrittenLayer
from keras_side.registry import reads, writes


@reads("SpatialDropout1D", masks=pass_mask)
def read_spatial_dropout1d(record: LayerRecord) -> ops.SpatialDropout1D:
    """Read a SpatialDropout1D."""
    with record.settings() as config:
        rate = config.take("rate", (int, float))
        config.ignore("seed")
    return ops.SpatialDropout1D(rate=float(rate))


@writes(ops.SpatialDropout1D)
def write_spatial_dropout1d(op: ops.SpatialDropout1D) -> WrittenLayer:
    """Write a SpatialDropout1D."""
    return WrittenLayer(class_name="SpatialDropout1D", config={"rate": op.rate})
