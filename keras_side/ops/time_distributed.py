"""Keras ``TimeDistributed`` <-> `ops.TimeDistributed`."""

from __future__ import annotations

from collections.abc import Mapping

from biport import ops
from biport.errors import UnsupportedError
from keras_side.masks import pass_mask
from keras_side.records import MODELS, LayerRecord, WrittenLayer
from keras_side.registry import READERS, WRITERS, reads, writes
from keras_side.unsupported import unsupported_class


@reads("TimeDistributed", masks=pass_mask)
def read_time_distributed(record: LayerRecord) -> ops.TimeDistributed:
    """Read a TimeDistributed around one layer; for others see `keras_side.reading.every_step`."""
    with record.settings() as config:
        data = config.take("layer", Mapping)
    inner = record.child("layer", data)
    if inner.class_name in MODELS:
        raise UnsupportedError(record.owner, "layer", inner.class_name, "a layer where its op is asked for")
    if inner.class_name not in READERS:
        raise unsupported_class(inner.owner, inner.class_name, inner.config)
    op = READERS.lookup(inner.class_name, inner.owner).read(inner)
    try:
        return ops.TimeDistributed(layer=op)
    except UnsupportedError as problem:
        raise UnsupportedError(record.owner, "layer", problem.value, problem.supported) from problem


@writes(ops.TimeDistributed)
def write_time_distributed(op: ops.TimeDistributed) -> WrittenLayer:
    """Write a TimeDistributed around the layer inside."""
    inner = WRITERS.lookup(type(op.layer), op.kind)(op.layer)
    if not isinstance(inner, WrittenLayer) or inner.takes_list:
        raise UnsupportedError(op.kind, "layer", op.layer.kind, "layers of one input")
    return WrittenLayer(
        class_name="TimeDistributed", config={"layer": inner.serialised("layer")}, weights=inner.weights
    )
