"""Keras ``AveragePooling1D`` <-> `ops.AveragePooling1D`."""

from __future__ import annotations

from biport import ops
from keras_side.ops.conv1d import one
from keras_side.records import LayerRecord, WrittenLayer
from keras_side.registry import reads, writes


@reads("AveragePooling1D", "AvgPool1D")
def read_average_pooling1d(record: LayerRecord) -> ops.AveragePooling1D:
    """Read an AveragePooling1D; masked steps count, and the mask ends."""
    with record.settings() as config:
        pool_size, strides = one(config, "pool_size"), one(config, "strides")
        padding = config.choose("padding", ("valid", "same"), default="valid")
        config.require(data_format="channels_last")
    return ops.AveragePooling1D(pool_size=pool_size, strides=strides, padding=padding)


@writes(ops.AveragePooling1D)
def write_average_pooling1d(op: ops.AveragePooling1D) -> WrittenLayer:
    """Write an AveragePooling1D."""
    return WrittenLayer(
        class_name="AveragePooling1D", config=op.settings() | {"data_format": "channels_last"}
    )
