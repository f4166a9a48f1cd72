"""Convolutions to ``Conv`` and ``ConvTranspose`` over channels first, and their activation."""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from biport.ops import (
    Convolution,
    Dim,
    SeparableConv1D,
    SeparableConv2D,
    SeparableConvolution,
    TransposedConvolution,
)
from biport.ops.convolution import CONVOLUTIONS, TRANSPOSED
from export.onnx.activations import activate
from export.onnx.builder import Scope
from export.onnx.lazy_value import LazyValue
from export.onnx.long_enough import long_enough
from export.onnx.orders import wanted_first
from export.onnx.site import Site
from export.onnx.windows import Windows
from export.registry import writes


@writes(*CONVOLUTIONS.values())
def write_convolution(op: Convolution, site: Site) -> tuple[LazyValue, ...]:
    """``(N, *T, I)`` to ``(N, *T', O)``; `export.Session` refuses what is too short for one window."""
    (x,) = site.inputs
    order = wanted_first(x)

    def write() -> ir.Value:
        return _convolved(site.scope, op, x.ordered(order), x.tensor.shape[1:-1])

    return (site.lazy(write, order=order),)


@writes(SeparableConv1D, SeparableConv2D)
def write_separable_convolution(op: SeparableConvolution, site: Site) -> tuple[LazyValue, ...]:
    """Two nodes: ``(N, *T, I)`` to ``(N, *T', O)``."""
    (x,) = site.inputs
    order, scope = wanted_first(x), site.scope
    (between,) = op.depthwise.infer([x.tensor])

    def write() -> ir.Value:
        first = scope.builder.scope(f"{scope.name}/depthwise")
        y = _convolved(first, op.depthwise, x.ordered(order), x.tensor.shape[1:-1])
        second = scope.builder.scope(f"{scope.name}/pointwise")
        return _convolved(second, op.pointwise, y, between.shape[1:-1])

    return (site.lazy(write, order=order),)


def _convolved(scope: Scope, op: Convolution, x: ir.Value, sizes: Sequence[Dim]) -> ir.Value:
    """``(N, I, *T)`` to ``(N, O, *T')``."""
    dilated = any(dilation > 1 for dilation in op.dilation)
    windows = Windows(sizes, op.spans, op.strides, op.padding, dilated)
    x, attributes = windows.padded(scope, x)
    z = scope(
        "Conv",
        x,
        scope.constant(op.weight, "weight"),
        *([] if op.bias is None else [scope.constant(op.bias, "bias")]),
        kernel_shape=list(op.kernel_size),
        strides=list(op.strides),
        dilations=list(op.dilation),
        group=op.groups,
        **attributes,
    )
    return activate(scope, op.activation, z, axis=1)


@writes(*TRANSPOSED.values())
def write_transposed_convolution(op: TransposedConvolution, site: Site) -> tuple[LazyValue, ...]:
    """``(N, *T, I)`` to ``(N, *T', O)``; of no step onnxruntime would make some."""
    (x,) = site.inputs
    order, scope, rank = wanted_first(x), site.scope, len(x.tensor.shape)
    # Elements behind the last, which no x reaches: a node makes fewer than its strides of them, and more
    # are what zeros behind x make.
    missing = [max(-behind, 0) for _, behind in op.cropping]
    zeros = [
        0 if count < stride else -(-count // stride)
        for count, stride in zip(missing, op.strides, strict=True)
    ]
    behind = [
        cut + count * stride if count else max(cut, 0)
        for (_, cut), count, stride in zip(op.cropping, zeros, op.strides, strict=True)
    ]
    output_padding = [0 if count else size for size, count in zip(missing, zeros, strict=True)]

    def write() -> ir.Value:
        value = x.ordered(order)
        for axis, size in enumerate(x.tensor.shape[1:-1]):
            value = long_enough(site, value, 2 + axis, size, _fewest(op, axis), rank)
        if any(zeros):
            value = scope("Pad", value, [*[0] * (rank + 2), *zeros])
        z = scope(
            "ConvTranspose",
            value,
            scope.constant(op.weight, "weight"),
            *([] if op.bias is None else [scope.constant(op.bias, "bias")]),
            kernel_shape=list(op.kernel_size),
            strides=list(op.strides),
            dilations=list(op.dilation),
            group=op.groups,
            pads=[*(first for first, _ in op.cropping), *behind],
            output_padding=output_padding,
        )
        return activate(scope, op.activation, z, axis=1)

    return (site.lazy(write, order=order),)


def _fewest(op: TransposedConvolution, axis: int) -> int:
    """How many elements of x make at least one that is not cut off."""
    lacking = 1 - (op.spans[axis] - sum(op.cropping[axis]))
    return 1 + max(-(-lacking // op.strides[axis]), 0)
