"""Convolutions as functions, whose kernels are weights of the model or arrays.

Source:
    keras/src/ops/nn.py and keras/src/backend/tensorflow/nn.py of 3.15.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from biport import ops
from biport.config import Config
from biport.errors import FileError
from biport.ops import Learning, Op
from biport.ops.convolution import CONVOLUTIONS, TRANSPOSED
from keras_side.operations.registry import OperationCall, reads
from keras_side.operations.shaping import permuted
from keras_side.operations.terms import Term, apply, is_float
from keras_side.shared.kernels import from_depthwise, from_kernel
from keras_side.shared.sizes import take_sizes
from keras_side.shared.transposed import cropping_of


def over_axes(call: OperationCall, x: Term, make: Callable[[int], Op]) -> Term:
    """An op over the axes of ``(N, *T, I)``, or with ``channels_first`` of ``(N, I, *T)``.

    Args:
        call: with the setting ``data_format``.
        x: floats of three, four or five axes.
        make: gives the op, of so many axes between batch and features.
    """
    if x.rank not in (3, 4, 5) or not is_float(x):
        raise call.refusal("input", str(x.tensor), "floats of three, four or five dimensions")
    order = call.setting("data_format", "channels_last") or "channels_last"
    if order not in ("channels_first", "channels_last"):
        raise call.refusal("data_format", order, ("channels_first", "channels_last"))
    if order == "channels_last":
        return apply(make(x.rank - 2), x)
    y = apply(make(x.rank - 2), permuted(x, (0, *range(2, x.rank), 1)))
    return permuted(y, (0, y.rank - 1, *range(1, y.rank - 1)))


def sizes(call: OperationCall, name: str, count: int, default: Any = 1) -> tuple[int, ...]:
    """A setting that is a number for each axis, or one for all."""
    given = call.setting(name, default)
    try:
        return take_sizes(Config(call.owner, {name: default if given is None else given}), name, count)
    except FileError as error:
        raise call.refusal(name, given, f"an integer, or {count} of them") from error


def padding_word(call: OperationCall) -> str:
    """``"valid"`` or ``"same"``, in whatever letters."""
    given = call.setting("padding", "valid")
    if not isinstance(given, str) or given.lower() not in ("valid", "same"):
        raise call.refusal("padding", given, ("valid", "same"))
    return given.lower()


def kernel_of(call: OperationCall, name: str, dimensions: int) -> np.ndarray:
    """A kernel, floats of two axes more than there are."""
    array = call.numbers(name).array
    if array.ndim != dimensions + 2 or array.dtype.kind != "f":
        raise call.refusal(name, f"{array.dtype} {array.shape}", f"floats of {dimensions + 2} dimensions")
    return array


def _windows(call: OperationCall, dimensions: int) -> dict[str, Any]:
    return {
        "strides": sizes(call, "strides", dimensions),
        "dilation": sizes(call, "dilation_rate", dimensions),
        "padding": padding_word(call),
    }


def learnt(call: OperationCall, op: Op, kernels: Mapping[str, str]) -> Op:
    """The op, in which kernels that training leaves as they are stay so; by the paths of the parts."""
    fixed = Learning(frozen=frozenset({"weight"}))
    frozen = {part: fixed for part, name in kernels.items() if not call.numbers(name).trainable}
    return op.with_learning(frozen) if frozen else op


@reads("Conv", takes=("x", "kernel"))
def conv(call: OperationCall) -> Term:
    """Of as many groups as the features that the kernel takes go into those there are."""
    x = call.term()

    def make(dimensions: int) -> Op:
        kernel = kernel_of(call, "kernel", dimensions)
        groups = _groups(call, x, kernel)
        op = _plain(dimensions, kernel, groups, _windows(call, dimensions))
        return learnt(call, op, {"": "kernel"})

    return over_axes(call, x, make)


def _groups(call: OperationCall, x: Term, kernel: np.ndarray) -> int:
    first = call.setting("data_format") == "channels_first"
    features = x.tensor.shape[1 if first else -1]
    if not isinstance(features, int) or not kernel.shape[-2] or features % kernel.shape[-2]:
        raise call.refusal("kernel", kernel.shape, f"kernels whose features go into those of {x.tensor}")
    return features // kernel.shape[-2]


def _plain(dimensions: int, kernel: np.ndarray, groups: int, settings: Mapping[str, Any]) -> ops.Convolution:
    return CONVOLUTIONS[dimensions](
        input_size=kernel.shape[-2] * groups,
        output_size=kernel.shape[-1],
        kernel_size=kernel.shape[:-2],
        groups=groups,
        weight=from_kernel(kernel),
        bias=None,
        **settings,
    )


def _of_each_feature(dimensions: int, kernel: np.ndarray, settings: Mapping[str, Any]) -> ops.Convolution:
    features, multiplier = kernel.shape[-2:]
    return CONVOLUTIONS[dimensions](
        input_size=features,
        output_size=features * multiplier,
        kernel_size=kernel.shape[:-2],
        groups=features,
        weight=from_depthwise(kernel),
        bias=None,
        **settings,
    )


def _check_two(call: OperationCall, dimensions: int) -> None:
    if dimensions > 2:
        raise call.refusal("input", f"{dimensions + 2} dimensions", "three or four dimensions")


@reads("DepthwiseConv", takes=("x", "kernel"))
def depthwise_conv(call: OperationCall) -> Term:
    """Each feature by itself."""

    def make(dimensions: int) -> Op:
        _check_two(call, dimensions)
        kernel = kernel_of(call, "kernel", dimensions)
        op = _of_each_feature(dimensions, kernel, _windows(call, dimensions))
        return learnt(call, op, {"": "kernel"})

    return over_axes(call, call.term(), make)


@reads("SeparableConv", takes=("x", "depthwise_kernel", "pointwise_kernel"))
def separable_conv(call: OperationCall) -> Term:
    """Each feature by itself, then each position."""

    def make(dimensions: int) -> Op:
        _check_two(call, dimensions)
        first, second = (
            kernel_of(call, name, dimensions) for name in ("depthwise_kernel", "pointwise_kernel")
        )
        kind = ops.SeparableConv1D if dimensions == 1 else ops.SeparableConv2D
        op = kind(
            depthwise=_of_each_feature(dimensions, first, _windows(call, dimensions)),
            pointwise=_plain(dimensions, second, 1, {}),
        )
        return learnt(call, op, {"depthwise": "depthwise_kernel", "pointwise": "pointwise_kernel"})

    return over_axes(call, call.term(), make)


@reads("ConvTranspose", takes=("x", "kernel"))
def conv_transpose(call: OperationCall) -> Term:
    """What makes the input of a convolution out of its output."""

    def make(dimensions: int) -> Op:
        kernel = kernel_of(call, "kernel", dimensions)
        settings = _windows(call, dimensions)
        added = call.setting("output_padding")
        output_padding = None if added is None else sizes(call, "output_padding", dimensions)
        spans = spans_of(kernel.shape[:-2], settings["dilation"])
        axes = list(zip(spans, settings["strides"], strict=True))
        cropping = cropping_of(call.owner, axes, settings.pop("padding"), output_padding)
        op = TRANSPOSED[dimensions](
            input_size=kernel.shape[-1],
            output_size=kernel.shape[-2],
            kernel_size=kernel.shape[:-2],
            cropping=cropping,
            weight=from_kernel(kernel),
            bias=None,
            **settings,
        )
        return learnt(call, op, {"": "kernel"})

    return over_axes(call, call.term(), make)


def spans_of(kernel_size: Sequence[int], dilation: Sequence[int]) -> list[int]:
    """How many elements a kernel reaches over along each axis."""
    return [(size - 1) * apart + 1 for size, apart in zip(kernel_size, dilation, strict=True)]
