"""Keras ``GlobalAveragePooling1D`` <-> `ops.GlobalAveragePooling1D`."""

from __future__ import annotations

from biport import ops
from keras_side.records import LayerRecord, WrittenLayer
from keras_side.registry import reads, writes


@reads("GlobalAveragePooling1D", "GlobalAvgPool1D")
def read_global_average_pooling1d(record: LayerRecord) -> ops.GlobalAveragePooling1D:
    """Read a GlobalAveragePooling1D; it averages over the valid steps and ends the mask."""
    with record.settings() as config:
        keepdims = config.take("keepdims", bool, default=False)
        config.require(data_format="channels_last")
    return ops.GlobalAveragePooling1D(keepdims=keepdims)


@writes(ops.GlobalAveragePooling1D)
def write_global_average_pooling1d(op: ops.GlobalAveragePooling1D) -> WrittenLayer:
    """Write a GlobalAveragePooling1D."""
    config = {"data_format": "channels_last", "keepdims": op.keepdims}
    return WrittenLayer(class_name="GlobalAveragePooling1D", config=config)
