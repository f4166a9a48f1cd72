"""Keras ``Flatten`` <-> `ops.Flatten`."""

from __future__ import annotations

from biport import ops
from keras_side.records import LayerRecord, WrittenLayer
from keras_side.registry import reads, writes


@reads("Flatten")
def read_flatten(record: LayerRecord) -> ops.Flatten:
    """Read a Flatten; the mask ends here."""
    with record.settings() as config:
        config.require(data_format="channels_last")
    return ops.Flatten()


@writes(ops.Flatten)
def write_flatten(op: ops.Flatten) -> WrittenLayer:
    """Write a Flatten."""
    return WrittenLayer(class_name="Flatten", config={"data_format": "channels_last"})
