"""Keras ``MaxPooling1D`` <-> `ops.MaxPooling1D`."""

from __future__ import annotations

from biport import ops
from keras_side.ops.conv1d import one
from keras_side.records import LayerRecord, WrittenLayer
from keras_side.registry import reads, writes


@reads("MaxPooling1D", "MaxPool1D")
def read_max_pooling1d(record: LayerRecord) -> ops.MaxPooling1D:
    """Read a MaxPooling1D; masked steps count, and the mask ends."""
    with record.settings() as config:
        pool_size, strides = one(config, "pool_size"), one(config, "strides")
        padding = config.choose("padding", ("valid", "same"), default="valid")
        config.require(data_format="channels_last")
    return ops.MaxPooling1D(pool_size=pool_size, strides=strides, padding=padding)


@writes(ops.MaxPooling1D)
def write_max_pooling1d(op: ops.MaxPooling1D) -> WrittenLayer:
    """Write a MaxPooling1D."""
    return WrittenLayer(class_name="MaxPooling1D", config=op.settings() | {"data_format": "channels_last"})
