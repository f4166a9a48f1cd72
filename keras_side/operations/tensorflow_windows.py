"""Convolutions, pooling and resizing as TensorFlow has them, in the words of those of Keras 3.

Settings have a number for each axis of a tensor, batch and features too.

Source:
    tensorflow/core/ops/nn_ops.cc and image_ops.cc of TensorFlow 2.21.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from biport import ops
from biport.ops.convolution import TRANSPOSED
from biport.ops.shape import ZERO_PADDINGS
from keras_side.operations.convolution import conv, depthwise_conv, kernel_of, learnt, over_axes, spans_of
from keras_side.operations.normalization import batch_normalization
from keras_side.operations.pooling import enlarged, pool
from keras_side.operations.registry import OperationCall, is_whole, reads
from keras_side.operations.tensorflow import sizes_of
from keras_side.operations.terms import Term, apply
from keras_side.shared.kernels import from_kernel

INFINITY = float("inf")


def _along(call: OperationCall, name: str, rank: int) -> tuple[int, ...]:
    """A setting without its numbers for batch and features, which are 1."""
    given = call.setting(name, [1] * rank)
    fits = isinstance(given, list | tuple) and len(given) == rank and all(map(is_whole, given))
    if not fits or given[0] != 1 or given[-1] != 1:
        raise call.refusal(name, given, f"{rank} integers, 1 for batch and features")
    return tuple(given[1:-1])


def _translated(call: OperationCall, name: str, x: Term, settings: Mapping[str, Any]) -> OperationCall:
    """The call as one of Keras 3."""
    return OperationCall(name, call.owner, settings, {**call.arguments, "x": x}, call.known)


def _padded(call: OperationCall, fill: float = 0.0) -> tuple[Term, str]:
    """What is padded in front where the padding is said in numbers, and the word for the rest."""
    x, word = call.term(), str(call.setting("padding"))
    given = call.setting("explicit_paddings", [])
    if word != "EXPLICIT":
        return x, word
    pairs = list(zip(given[::2], given[1::2], strict=True))
    if len(pairs) != x.rank or any(pairs[0]) or any(pairs[-1]) or not all(map(is_whole, given)):
        raise call.refusal("explicit_paddings", given, "pairs for rows and columns")
    if fill:
        return apply(ops.Pad(widths=tuple(pairs), value=fill), x), "VALID"
    return apply(ZERO_PADDINGS[x.rank - 2](padding=tuple(pairs[1:-1])), x), "VALID"


@reads("tf.conv", "tf.depthwise_conv", takes=("x", "kernel"))
def convolution(call: OperationCall) -> Term:
    """Over the axes between batch and features."""
    rank = call.term().rank
    x, word = _padded(call)
    settings = {
        "strides": _along(call, "strides", rank),
        "dilation_rate": _along(call, "dilation_rate", rank),
        "padding": word,
    }
    if call.class_name == "tf.conv":
        return conv(_translated(call, "Conv", x, settings))
    return depthwise_conv(_translated(call, "DepthwiseConv", x, settings))


@reads("tf.conv_transpose", takes=("x", "kernel", "shape"))
def transposed(call: OperationCall) -> Term:
    """Of the shape that is said: of what is cut off to come to it the smaller part is in front."""
    x, word = call.term(), str(call.setting("padding"))
    call.setting("explicit_paddings")
    if word not in ("SAME", "VALID"):
        raise call.refusal("padding", word, ("SAME", "VALID"))
    strides, dilation = (_along(call, name, x.rank) for name in ("strides", "dilation_rate"))
    wanted = sizes_of(call, "shape", call.item("shape"))
    kernel = kernel_of(call, "kernel", x.rank - 2)
    spans = spans_of(kernel.shape[:-2], dilation)
    totals = _cut_off(call, x, wanted, spans, strides)
    before = [max(total, 0) // 2 if word == "SAME" else 0 for total in totals]
    op = TRANSPOSED[x.rank - 2](
        input_size=kernel.shape[-1],
        output_size=kernel.shape[-2],
        kernel_size=kernel.shape[:-2],
        strides=strides,
        dilation=dilation,
        cropping=tuple((first, total - first) for first, total in zip(before, totals, strict=True)),
        weight=from_kernel(kernel),
        bias=None,
    )
    return over_axes(call, x, lambda _: learnt(call, op, {"": "kernel"}))


def _cut_off(
    call: OperationCall, x: Term, wanted: Sequence[Any], spans: Sequence[int], strides: Sequence[int]
) -> list[int]:
    """How much of all that is made is left out along each axis."""
    sizes = zip(x.tensor.shape[1:-1], wanted[1:-1], spans, strides, strict=True)
    totals = [(size - 1) * stride + span - one for size, one, span, stride in sizes]
    whole = [total for total in totals if isinstance(total, int)]
    if len(whole) != len(totals):
        supported = f"sizes that are strides times those of {x.tensor}, and a number more or less"
        raise call.refusal("output_shape", list(map(str, wanted)), supported)
    return whole


@reads("tf.avg_pool", "tf.max_pool")
def pooled(call: OperationCall) -> Term:
    """One number for each window."""
    name = "MaxPool" if call.class_name == "tf.max_pool" else "AveragePool"
    rank = call.term().rank
    x, word = _padded(call, -INFINITY)
    settings = {key: _along(call, key, rank) for key in ("pool_size", "strides")}
    return pool(_translated(call, name, x, {**settings, "padding": word}))


@reads("tf.batch_norm", takes=("x", "scale", "offset", "mean", "variance"))
def batch_norm(call: OperationCall) -> Term:
    """By given means and variances of the features."""
    call.require(is_training=False)
    settings = {"axis": -1, "epsilon": call.real("epsilon", 1e-4)}
    return batch_normalization(_translated(call, "BatchNorm", call.term(), settings))


@reads("tf.resize_bilinear", "tf.resize_nearest", takes=("x", "size"))
def resized(call: OperationCall) -> Term:
    """To some times as many rows and columns."""
    bilinear = call.class_name == "tf.resize_bilinear"
    call.require(align_corners=False)
    if bilinear:
        call.require(half_pixel_centers=True)
    call.setting("half_pixel_centers")
    x, size = call.term(), sizes_of(call, "size", call.item("size"))
    settings = {"interpolation": "bilinear" if bilinear else "nearest"}
    return enlarged(_translated(call, "Resize", x, settings), x, size, x.tensor.shape[1:-1])
