"""Keras ``Conv1D`` <-> `ops.Conv1D`."""

from __future__ import annotations

from biport import ops
from biport.config import Config
from biport.errors import FileError, WeightError
from biport.ops.convolution import PADDINGS
from keras_side.activations import read_activation, write_activation
from keras_side.records import LayerRecord, WrittenLayer
from keras_side.registry import reads, writes


def one(config: Config, key: str, default: int | None = None) -> int:
    """A setting that Keras writes as a list of one integer, or as the integer.

    Raises:
        FileError: it is something else.
    """
    found = config.take(key, (int, list, tuple), *(() if default is None else (default,)))
    sizes = [found] if isinstance(found, int) else list(found)
    if len(sizes) == 1 and isinstance(sizes[0], int) and not isinstance(sizes[0], bool):
        return sizes[0]
    raise FileError(f"{config.owner}: the setting {key!r} should be one integer, found {found!r}")


@reads("Conv1D", "Convolution1D")
def read_conv1d(record: LayerRecord) -> ops.Conv1D:
    """Read a Conv1D; its kernel is ``(K, I / G, O)``, the graph's ``(O, I / G, K)``. It ends the mask."""
    with record.settings() as config:
        output_size = config.take("filters", int)
        kernel_size = one(config, "kernel_size")
        settings = {
            "strides": one(config, "strides", 1),
            "dilation": one(config, "dilation_rate", 1),
            "groups": config.take("groups", int, 1),
            "padding": config.choose("padding", PADDINGS, default="valid"),
            "activation": read_activation(config),
        }
        use_bias = config.take("use_bias", bool, default=True)
        config.require(data_format="channels_last", lora_alpha=None)
    found = record.variables.take(["kernel", "bias"] if use_bias else ["kernel"])
    if found["kernel"].ndim != 3:
        raise WeightError(f"kernel should have three dimensions, found shape {found['kernel'].shape}")
    return ops.Conv1D(
        input_size=found["kernel"].shape[1] * settings["groups"],
        output_size=output_size,
        kernel_size=kernel_size,
        weight=found["kernel"].transpose(2, 1, 0),
        bias=found.get("bias"),
        **settings,
    )


@writes(ops.Conv1D)
def write_conv1d(op: ops.Conv1D) -> WrittenLayer:
    """Write a Conv1D."""
    kernel = op.weight.transpose(2, 1, 0)
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
        weights=[kernel] if op.bias is None else [kernel, op.bias],
    )
