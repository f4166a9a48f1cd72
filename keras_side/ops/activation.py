"""Keras ``Activation`` <-> `ops.Activation`."""

from __future__ import annotations

from biport import ops
from keras_side import activations
from keras_side.masks import pass_mask
from keras_side.records import LayerRecord, WrittenLayer
from keras_side.registry import reads, writes


@reads("Activation", masks=pass_mask)
def read_activation(record: LayerRecord) -> ops.Activation:
    """Read an Activation."""
    with record.settings() as config:
        function = activations.read_activation(config)
    return ops.Activation(function=function)


@writes(ops.Activation)
def write_activation(op: ops.Activation) -> WrittenLayer:
    """Write an Activation."""
    return WrittenLayer(
        class_name="Activation", config={"activation": activations.write_activation(op.function)}
    )
