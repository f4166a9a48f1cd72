"""Keras' convolutions <-> `ops.Conv1D` and the others of the family. All of them end the mask.

What Keras calls depthwise has a group for each feature.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from biport import ops
from biport.config import Config
from biport.errors import UnsupportedError, WeightError
from biport.ops import Convolution, SeparableConvolution, TransposedConvolution
from biport.ops.convolution import CONVOLUTIONS, PADDINGS, TRANSPOSED, Convolving
from biport.ops.windows import Padding
from keras_side.records import LayerRecord, WrittenLayer, present
from keras_side.registry import reads, writes
from keras_side.shared.activations import read_activation, write_activation
from keras_side.shared.kernels import from_depthwise, from_kernel, to_depthwise, to_kernel
from keras_side.shared.sizes import take_sizes, written_sizes
from keras_side.shared.transposed import cropping_of, in_words

PLAIN: Mapping[str, type[Convolution]] = {
    f"{name}{dimensions}D": kind
    for dimensions, kind in CONVOLUTIONS.items()
    for name in ("Conv", "Convolution")
}

DEPTHWISE: Mapping[str, type[Convolution]] = {"DepthwiseConv1D": ops.Conv1D, "DepthwiseConv2D": ops.Conv2D}

SEPARABLE: Mapping[str, type[SeparableConvolution]] = {
    "SeparableConv1D": ops.SeparableConv1D,
    "SeparableConv2D": ops.SeparableConv2D,
    "SeparableConvolution1D": ops.SeparableConv1D,
    "SeparableConvolution2D": ops.SeparableConv2D,
}

TURNED: Mapping[str, type[TransposedConvolution]] = {
    f"{name}{dimensions}DTranspose": kind
    for dimensions, kind in TRANSPOSED.items()
    for name in ("Conv", "Convolution")
}


@reads(PLAIN)
def read_convolution(record: LayerRecord) -> Convolution:
    """Read a Conv1D, Conv2D or Conv3D."""
    kind = PLAIN[record.class_name]
    with record.settings() as config:
        filters = config.take("filters", int)
        words = PADDINGS if kind.dimensions == 1 else PADDINGS[:2]
        settings = {**_windows(config, kind.dimensions, words), "groups": config.take("groups", int, 1)}
        settings["activation"] = read_activation(config)
        names = _names(config, "kernel")
    kernel, bias = _weights(record, names, kind.dimensions)
    return kind(
        input_size=kernel.shape[-2] * settings["groups"],
        output_size=filters,
        weight=from_kernel(kernel),
        bias=bias,
        **settings,
    )


@reads(DEPTHWISE)
def read_depthwise(record: LayerRecord) -> Convolution:
    """Read a DepthwiseConv1D or DepthwiseConv2D."""
    kind = DEPTHWISE[record.class_name]
    with record.settings() as config:
        settings = _windows(config, kind.dimensions, PADDINGS[:2])
        _take_multiplier(config)
        settings["activation"] = read_activation(config)
        names = _names(config, "kernel")
        # What the layer inherits, and has no use for.
        config.require(groups=1)
    kernel, bias = _weights(record, names, kind.dimensions)
    return _depthwise(kind, kernel, settings, bias)


@reads(SEPARABLE)
def read_separable(record: LayerRecord) -> SeparableConvolution:
    """Read a SeparableConv1D or SeparableConv2D."""
    kind = SEPARABLE[record.class_name]
    part = CONVOLUTIONS[kind.dimensions]
    with record.settings() as config:
        filters = config.take("filters", int)
        settings = _windows(config, kind.dimensions, PADDINGS[:2])
        _take_multiplier(config)
        activation = read_activation(config)
        names = ["depthwise_kernel", *_names(config, "pointwise_kernel")]
        config.require(groups=1)
    arrays = record.variables.take(names)
    kernel, pointwise = (
        _checked(name, arrays[name], kind.dimensions) for name in ("depthwise_kernel", "pointwise_kernel")
    )
    return kind(
        depthwise=_depthwise(part, kernel, settings, None),
        pointwise=part(
            input_size=pointwise.shape[-2],
            output_size=filters,
            kernel_size=pointwise.shape[:-2],
            activation=activation,
            weight=from_kernel(pointwise),
            bias=arrays.get("bias"),
        ),
    )


@reads(TURNED)
def read_transposed(record: LayerRecord) -> TransposedConvolution:
    """Read a Conv1DTranspose, Conv2DTranspose or Conv3DTranspose."""
    kind = TURNED[record.class_name]
    with record.settings() as config:
        filters = config.take("filters", int)
        settings = _windows(config, kind.dimensions, PADDINGS[:2])
        padding, given = settings.pop("padding"), config.take("output_padding", default=None)
        output_padding = None
        if given is not None:
            sizes = Config(record.owner, {"output_padding": given})
            output_padding = take_sizes(sizes, "output_padding", kind.dimensions)
        settings["activation"] = read_activation(config)
        names = _names(config, "kernel")
        config.require(groups=1)
    kernel, bias = _weights(record, names, kind.dimensions)
    axes = zip(settings["kernel_size"], settings["dilation"], settings["strides"], strict=True)
    along = [((size - 1) * dilation + 1, stride) for size, dilation, stride in axes]
    return kind(
        input_size=kernel.shape[-1],
        output_size=filters,
        cropping=cropping_of(record.owner, along, padding, output_padding),
        weight=from_kernel(kernel),
        bias=bias,
        **settings,
    )


def _windows(config: Config, dimensions: int, words: Sequence[str]) -> dict[str, Any]:
    """The settings of the windows, which all convolutions have."""
    config.require(data_format="channels_last")
    return {
        "kernel_size": take_sizes(config, "kernel_size", dimensions),
        "strides": take_sizes(config, "strides", dimensions, 1),
        "dilation": take_sizes(config, "dilation_rate", dimensions, 1),
        "padding": config.choose("padding", words, default="valid"),
    }


def _take_multiplier(config: Config) -> None:
    """M, which the kernel says too."""
    config.take("depth_multiplier", int, 1)


def _names(config: Config, kernel: str) -> list[str]:
    return [kernel, *(["bias"] if config.take("use_bias", bool, default=True) else [])]


def _weights(
    record: LayerRecord, names: Sequence[str], dimensions: int
) -> tuple[np.ndarray, np.ndarray | None]:
    arrays = record.variables.take(names)
    return _checked("kernel", arrays["kernel"], dimensions), arrays.get("bias")


def _checked(name: str, kernel: np.ndarray, dimensions: int) -> np.ndarray:
    if kernel.ndim != dimensions + 2:
        raise WeightError(f"{name} should have {dimensions + 2} dimensions, found shape {kernel.shape}")
    return kernel


def _depthwise(
    kind: type[Convolution], kernel: np.ndarray, settings: Mapping[str, Any], bias: np.ndarray | None
) -> Convolution:
    features, multiplier = kernel.shape[-2:]
    return kind(
        input_size=features,
        output_size=features * multiplier,
        groups=features,
        weight=from_depthwise(kernel),
        bias=bias,
        **settings,
    )


@writes(*CONVOLUTIONS.values())
def write_convolution(op: Convolution) -> WrittenLayer:
    """Write a DepthwiseConv1D or DepthwiseConv2D where Keras has one, else a convolution of that many axes.

    Raises:
        UnsupportedError: it takes steps between its windows and between its weights, or has a padding in
            numbers, for which `biport.rewrite.explicit_padding` has ops of their own.
    """
    return written_as(op, f"Depthwise{op.kind}" if _is_depthwise(op) else op.kind)


def written_as(op: Convolution, class_name: str) -> WrittenLayer:
    """A convolution as a layer of this class, which has its kernel in another layout where it is depthwise.

    Raises:
        UnsupportedError: as for `write_convolution`.
    """
    if class_name != op.kind:
        multiplier = {"depth_multiplier": op.output_size // op.input_size}
        config = {**_written_windows(op, op.padding), **multiplier, **_ending(op)}
        kernel = to_depthwise(op.weight, op.input_size)
        return WrittenLayer(class_name, config, present(kernel, op.bias))
    _refuse_both(op)
    windows = _written_windows(op, op.padding)
    config = {"filters": op.output_size, **windows, "groups": op.groups, **_ending(op)}
    return WrittenLayer(op.kind, config, present(to_kernel(op.weight), op.bias))


def _is_depthwise(op: Convolution) -> bool:
    """Whether it is what a depthwise layer of Keras computes."""
    return op.dimensions < 3 and op.groups == op.input_size > 1 and op.padding != "causal"


@writes(ops.SeparableConv1D, ops.SeparableConv2D)
def write_separable(op: SeparableConvolution) -> WrittenLayer:
    """Write a SeparableConv1D or SeparableConv2D."""
    first, second = op.depthwise, op.pointwise
    config = {
        "filters": second.output_size,
        **_written_windows(first, first.padding),
        "depth_multiplier": first.output_size // first.input_size,
        **_ending(second),
    }
    kernel = to_depthwise(first.weight, first.input_size)
    return WrittenLayer(op.kind, config, present(kernel, to_kernel(second.weight), second.bias))


@writes(*TRANSPOSED.values())
def write_transposed(op: TransposedConvolution) -> WrittenLayer:
    """Write a Conv1DTranspose, Conv2DTranspose or Conv3DTranspose.

    Raises:
        UnsupportedError: Keras has no words for what it cuts off, for which `biport.rewrite.explicit_padding`
            has ops of their own, or no groups.
    """
    _refuse_both(op)
    if op.groups > 1:
        raise UnsupportedError(op.kind, "groups", op.groups, "1: Keras has no others here")
    words = in_words(list(zip(op.spans, op.strides, strict=True)), op.cropping)
    if words is None:
        raise UnsupportedError(op.kind, "cropping", op.cropping, "what Keras calls valid or same")
    padding, output_padding = words
    config = {
        "filters": op.output_size,
        **_written_windows(op, padding),
        "output_padding": None if output_padding is None else written_sizes(output_padding),
        **_ending(op),
    }
    return WrittenLayer(op.kind, config, present(to_kernel(op.weight), op.bias))


def _refuse_both(op: Convolving) -> None:
    if max(op.strides) > 1 and max(op.dilation) > 1:
        supported = f"strides of 1 beside a dilation of {op.dilation}, as Keras has it"
        raise UnsupportedError(op.kind, "strides", op.strides, supported)


def _written_windows(op: Convolving, padding: Padding) -> dict[str, Any]:
    if not isinstance(padding, str):
        raise UnsupportedError(op.kind, "padding", padding, "valid, same, or zeros in front of the layer")
    return {
        "kernel_size": written_sizes(op.kernel_size),
        "strides": written_sizes(op.strides),
        "padding": padding,
        "data_format": "channels_last",
        "dilation_rate": written_sizes(op.dilation),
    }


def _ending(op: Convolving) -> dict[str, Any]:
    return {"activation": write_activation(op.activation), "use_bias": op.bias is not None}
