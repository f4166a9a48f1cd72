"""Keras ``GlobalMaxPooling1D`` <-> `ops.GlobalMaxPooling1D`."""

from __future__ import annotations

from biport import ops
from keras_side.records import LayerRecord, WrittenLayer
from keras_side.registry import reads, writes


@reads("GlobalMaxPooling1D", "GlobalMaxPool1D")
def read_global_max_pooling1d(record: LayerRecord) -> ops.GlobalMaxPooling1D:
    """Read a GlobalMaxPooling1D; Keras takes no notice of a mask here and ends it."""
    with record.settings() as config:
        keepdims = config.take("keepdims", bool, default=False)
        config.require(data_format="channels_last")
    return ops.GlobalMaxPooling1D(keepdims=keepdims)


@writes(ops.GlobalMaxPooling1D)
def write_global_max_pooling1d(op: ops.GlobalMaxPooling1D) -> WrittenLayer:
    """Write a GlobalMaxPooling1D."""
    config = {"data_format": "channels_last", "keepdims": op.keepdims}
    return WrittenLayer(class_name="GlobalMaxPooling1D", config=config)
