"""Keras' pooling layers <-> `ops.AveragePooling1D`, `ops.GlobalMaxPooling1D` and the others.

All end the mask. `GlobalAveragePooling1D` averages over the valid steps; of the others Keras takes no
notice of a mask.
"""

from __future__ import annotations

from collections.abc import Mapping

from biport import ops
from biport.ops import Op
from keras_side.records import LayerRecord, WrittenLayer
from keras_side.registry import reads, writes
from keras_side.shared.sizes import take_size

WINDOWS: Mapping[str, type[ops.AveragePooling1D] | type[ops.MaxPooling1D]] = {
    "AveragePooling1D": ops.AveragePooling1D,
    "AvgPool1D": ops.AveragePooling1D,
    "MaxPooling1D": ops.MaxPooling1D,
    "MaxPool1D": ops.MaxPooling1D,
}
"""Over a few steps each."""

GLOBAL: Mapping[str, type[ops.GlobalAveragePooling1D] | type[ops.GlobalMaxPooling1D]] = {
    "GlobalAveragePooling1D": ops.GlobalAveragePooling1D,
    "GlobalAvgPool1D": ops.GlobalAveragePooling1D,
    "GlobalMaxPooling1D": ops.GlobalMaxPooling1D,
    "GlobalMaxPool1D": ops.GlobalMaxPooling1D,
}
"""Over all steps."""


@reads(WINDOWS)
def read_pooling(record: LayerRecord) -> Op:
    """Read an AveragePooling1D or MaxPooling1D; masked steps count."""
    with record.settings() as config:
        pool_size, strides = take_size(config, "pool_size"), take_size(config, "strides")
        padding = config.choose("padding", ("valid", "same"), default="valid")
        config.require(data_format="channels_last")
    return WINDOWS[record.class_name](pool_size=pool_size, strides=strides, padding=padding)


@reads(GLOBAL)
def read_global_pooling(record: LayerRecord) -> Op:
    """Read a GlobalAveragePooling1D or GlobalMaxPooling1D."""
    with record.settings() as config:
        keepdims = config.take("keepdims", bool, default=False)
        config.require(data_format="channels_last")
    return GLOBAL[record.class_name](keepdims=keepdims)


@writes(*dict.fromkeys((*WINDOWS.values(), *GLOBAL.values())))
def write_pooling(op: Op) -> WrittenLayer:
    """Write any of them."""
    return WrittenLayer(class_name=op.kind, config=op.settings() | {"data_format": "channels_last"})
