"""Keras ``ZeroPadding1D`` <-> `ops.ZeroPadding1D`."""

from __future__ import annotations

from biport import ops
from keras_side.records import LayerRecord, WrittenLayer
from keras_side.registry import reads, writes


@reads("ZeroPadding1D")
def read_zero_padding1d(record: LayerRecord) -> ops.ZeroPadding1D:
    """Read a ZeroPadding1D; the mask ends here."""
    with record.settings() as config:
        padding = config.take("padding", (list, tuple))
        config.require(data_format="channels_last")
    return ops.ZeroPadding1D(padding=tuple(padding))


@writes(ops.ZeroPadding1D)
def write_zero_padding1d(op: ops.ZeroPadding1D) -> WrittenLayer:
    """Write a ZeroPadding1D."""
    return WrittenLayer(
        class_name="ZeroPadding1D", config={"padding": op.padding, "data_format": "channels_last"}
    )
