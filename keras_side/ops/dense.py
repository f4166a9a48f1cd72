"""Keras ``Dense`` <-> `ops.Dense`."""

from __future__ import annotations

from biport import ops
from keras_side.masks import pass_mask
from keras_side.records import LayerRecord, WrittenLayer, input_size, present
from keras_side.registry import reads, writes
from keras_side.shared.activations import read_activation, write_activation


@reads("Dense", masks=pass_mask)
def read_dense(record: LayerRecord) -> ops.Dense:
    """Read a Dense; its kernel is ``(I, O)``, the graph's weight ``(O, I)``."""
    with record.settings() as config:
        output_size = config.take("units", int)
        activation = read_activation(config)
        use_bias = config.take("use_bias", bool, default=True)
    arrays = record.variables.take(["kernel", "bias"] if use_bias else ["kernel"])
    return ops.Dense(
        input_size=input_size(arrays["kernel"]),
        output_size=output_size,
        activation=activation,
        weight=arrays["kernel"].T,
        bias=arrays.get("bias"),
    )


@writes(ops.Dense)
def write_dense(op: ops.Dense) -> WrittenLayer:
    """Write a Dense."""
    return WrittenLayer(
        class_name="Dense",
        config={
            "units": op.output_size,
            "activation": write_activation(op.activation),
            "use_bias": op.bias is not None,
        },
        weights=present(op.weight.T, op.bias),
    )
