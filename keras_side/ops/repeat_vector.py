"""Keras ``RepeatVector`` <-> `ops.RepeatVector`."""

from __future__ import annotations

from biport import ops
from keras_side.records import LayerRecord, WrittenLayer
from keras_side.registry import reads, writes


@reads("RepeatVector")
def read_repeat_vector(record: LayerRecord) -> ops.RepeatVector:
    """Read a RepeatVector; the mask ends here."""
    with record.settings() as config:
        n = config.take("n", int)
    return ops.RepeatVector(n=n)


@writes(ops.RepeatVector)
def write_repeat_vector(op: ops.RepeatVector) -> WrittenLayer:
    """Write a RepeatVector."""
    return WrittenLayer(class_name="RepeatVector", config={"n": op.n})
