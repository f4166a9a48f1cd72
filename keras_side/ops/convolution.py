"""Keras ``Conv1D`` <-> `ops.Conv1D`."""

from __future__ import annotations

from biport import ops
from biport.errors import WeightError
from biport.ops.convolution import PADDINGS
from keras_side.records import LayerRecord, WrittenLayer, present
from keras_side.registry import reads, writes
from keras_side.shared.activations import read_activation, write_activation
from keras_side.shared.sizes import take_size


@reads({"Conv1D": ops.Conv1D, "Convolution1D": ops.Conv1D})
def read_conv1d(record: LayerRecord) -> ops.Conv1D:
    """Read a Conv1D; its kernel is ``(K, I / G, O)``, the graph's ``(O, I / G, K)``. It ends the mask."""
    with record.settings() as config:
        output_size = config.take("filters", int)
        kernel_size = take_size(config, "kernel_size")
        settings = {
            "strides": take_size(config, "strides", 1),
            "dilation": take_size(config, "dilation_rate", 1),
            "groups": config.take("groups", int, 1),
            "padding": config.choose("padding", PADDINGS, default="valid"),
            "activation": read_activation(config),
        }
        use_bias = config.take("use_bias", bool, default=True)
        config.require(data_format="channels_last")
    arrays = record.variables.take(["kernel", "bias"] if use_bias else ["kernel"])
    kernel = arrays["kernel"]
    if kernel.ndim != 3:
        raise WeightError(f"kernel should have three dimensions, found shape {kernel.shape}")
    return ops.Conv1D(
        input_size=kernel.shape[1] * settings["groups"],
        output_size=output_size,
        kernel_size=kernel_size,
        weight=kernel.transpose(2, 1, 0),
        bias=arrays.get("bias"),
        **settings,
    )


@writes(ops.Conv1D)
def write_conv1d(op: ops.Conv1D) -> WrittenLayer:
    """Write a Conv1D."""
    return WrittenLayer(
        class_name="Conv1D",
        config={
            "filters": op.output_size,
            "kernel_size": op.kernel_size,
            "strides": op.strides,
            "padding": op.padding,
            "data_format": "channels_last",
            "dilation_rate": op.dilation,
            "groups": op.groups,
            "activation": write_activation(op.activation),
            "use_bias": op.bias is not None,
        },
        weights=present(op.weight.transpose(2, 1, 0), op.bias),
    )
