"""Keras ``Dropout`` <-> `ops.Dropout`."""

from __future__ import annotations

from biport import ops
from keras_side.masks import pass_mask
from keras_side.records import LayerRecord, WrittenLayer
from keras_side.registry import reads, writes


@reads("Dropout", masks=pass_mask)
def read_dropout(record: LayerRecord) -> ops.Dropout:
    """Read a Dropout; a ``noise_shape`` of its own is refused, torch has none."""
    with record.settings() as config:
        rate = config.take("rate", (int, float))
        config.require(noise_shape=None)
        config.ignore("seed")
    return ops.Dropout(rate=float(rate))


@writes(ops.Dropout)
def write_dropout(op: ops.Dropout) -> WrittenLayer:
    """Write a Dropout."""
    return WrittenLayer(class_name="Dropout", config={"rate": op.rate})
