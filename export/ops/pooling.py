"""Pooling over the axes between batch and features, in windows and as a whole."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx_ir as ir

from biport.ops import AveragePooling, GlobalAveragePooling, GlobalMaxPooling, MaxPooling
from biport.ops.pooling import GLOBAL_MAXIMA, GLOBAL_MEANS, MAXIMA, MEANS
from biport.ops.windows import axis_padding
from export.onnx.empty_axes import reduced
from export.onnx.extremes import extreme
from export.onnx.lazy_value import LazyValue, Order
from export.onnx.long_enough import long_enough
from export.onnx.orders import left_of, moved_axes, wanted_first
from export.onnx.site import Site
from export.onnx.windows import Windows
from export.registry import writes


@writes(*MAXIMA.values())
def write_max_pooling(op: MaxPooling, site: Site) -> tuple[LazyValue, ...]:
    """``(N, *T, I)`` to ``(N, *T', I)``; padding is no maximum."""
    windows = _Pooled(op, site)
    return windows.lazy(lambda x: extreme(site, x, lambda x: windows.cut("MaxPool", x, -np.inf)))


@writes(*MEANS.values())
def write_average_pooling(op: AveragePooling, site: Site) -> tuple[LazyValue, ...]:
    """``(N, *T, I)`` to ``(N, *T', I)``; padding is not counted."""
    pooled, scope = _Pooled(op, site), site.scope

    def mean(x: ir.Value) -> ir.Value:
        means = pooled.cut("AveragePool", x, 0.0)
        if not pooled.windows.computed:
            return means
        shape = scope("Concat", [1, 1], scope("Shape", x, start=2), axis=0)
        ones = scope("ConstantOfShape", shape, value=ir.tensor(np.ones(1, "float32")))
        return scope("Div", means, pooled.cut("AveragePool", ones, 0.0))

    return pooled.lazy(mean)


class _Pooled:
    """Windows on their way into a file, channels first."""

    def __init__(self, op: AveragePooling | MaxPooling, site: Site) -> None:
        self.op = op
        self.site = site
        (self.x,) = site.inputs
        self.order = wanted_first(self.x)
        self.windows = Windows(self.x.tensor.shape[1:-1], op.pool_size, op.strides, op.padding)

    def lazy(self, pool: Callable[[ir.Value], ir.Value]) -> tuple[LazyValue]:
        """What ``pool`` makes of ``(N, I, *T)``, of which it is given no fewer than it is defined over."""

        def write() -> ir.Value:
            value = self.x.ordered(self.order)
            for axis, size in enumerate(self.windows.sizes):
                padding = axis_padding(self.op.padding, axis)
                if padding != "same":
                    around = 0 if isinstance(padding, str) else sum(padding)
                    needed = max(self.op.pool_size[axis] - around, 1)
                    value = long_enough(self.site, value, 2 + axis, size, needed, len(self.order))
            return pool(value)

        return (self.site.lazy(write, order=self.order),)

    def cut(self, op_type: str, x: ir.Value, fill: float) -> ir.Value:
        """``(N, I, *T)`` to ``(N, I, *T')``."""
        x, attributes = self.windows.padded(self.site.scope, x, fill)
        sizes = {"kernel_shape": list(self.op.pool_size), "strides": list(self.op.strides)}
        return self.site.scope(op_type, x, **sizes, **attributes)


@writes(*GLOBAL_MEANS.values())
def write_global_average_pooling(op: GlobalAveragePooling, site: Site) -> tuple[LazyValue, ...]:
    """``(N, *T, I)`` to ``(N, I)``: the sum over the number of the valid steps, 0 / 0 where there is none."""
    (x,), (mask,) = site.inputs, site.masks
    scope = site.scope
    order = x.order if mask is None else x.batch_major
    axes = moved_axes(order, op.axes)
    shape = [x.tensor.shape[axis] for axis in order]

    def summed(value: ir.Value) -> ir.Value:
        return reduced(scope, "ReduceSum", value, shape, "float32", axes, op.keepdims)

    def write() -> ir.Value:
        value = x.ordered(order)
        if mask is None and all(isinstance(shape[axis], int) and shape[axis] != 0 for axis in axes):
            return reduced(scope, "ReduceMean", value, shape, "float32", axes, op.keepdims)
        if mask is None:
            return scope("Div", summed(value), _count(site, value, axes))
        valid = scope("Unsqueeze", mask.value(), [2])
        kept = scope("Where", valid, value, np.zeros((), "float32"))
        count = summed(scope("Cast", valid, to=ir.DataType.FLOAT))
        return scope("Div", summed(kept), count)

    return (site.lazy(write, order=_order_of_result(op, order)),)


def _count(site: Site, value: ir.Value, axes: list[int]) -> ir.Value:
    """How many elements these axes have together."""
    beside = axes == list(range(axes[0], axes[0] + len(axes)))
    sizes = site.scope("Shape", value, start=axes[0], end=axes[-1] + 1) if beside else None
    sizes = site.scope("Gather", site.scope("Shape", value), axes) if sizes is None else sizes
    product = sizes if len(axes) == 1 else site.scope("ReduceProd", sizes, [0], keepdims=1)
    return site.scope("Cast", product, to=ir.DataType.FLOAT)


@writes(*GLOBAL_MAXIMA.values())
def write_global_max_pooling(op: GlobalMaxPooling, site: Site) -> tuple[LazyValue, ...]:
    """``(N, *T, I)`` to ``(N, I)``; of no steps there is no maximum."""
    (x,) = site.inputs
    scope, order = site.scope, x.order
    axes = moved_axes(order, op.axes)

    def write() -> ir.Value:
        value = x.ordered(order)
        for position, axis in zip(axes, op.axes, strict=True):
            value = long_enough(site, value, position, x.tensor.shape[axis], 1, len(order))
        return extreme(site, value, lambda x: scope("ReduceMax", x, axes, keepdims=int(op.keepdims)))

    return (site.lazy(write, order=_order_of_result(op, order)),)


def _order_of_result(op: GlobalAveragePooling | GlobalMaxPooling, order: Order) -> Order:
    """Of the axes that are left of those in ``order``."""
    return order if op.keepdims else left_of(order, op.axes)
