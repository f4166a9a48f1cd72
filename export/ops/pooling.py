"""Pooling over time, in windows and as a whole."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from biport.ops import AveragePooling1D, GlobalAveragePooling1D, GlobalMaxPooling1D, MaxPooling1D, Op
from export.onnx.empty_axes import reduced
from export.onnx.extremes import extreme
from export.onnx.lazy_value import LazyValue
from export.onnx.site import Site
from export.onnx.windows import long_enough, padded
from export.registry import writes

POOLS: dict[type[Op], str] = {AveragePooling1D: "AveragePool", MaxPooling1D: "MaxPool"}


@writes(*POOLS)
def write_pooling(op: AveragePooling1D | MaxPooling1D, site: Site) -> tuple[LazyValue, ...]:
    """``(N, T, I)`` to ``(N, T', I)``, one node between two transpositions.

    Padding is no maximum, and it is not counted in a mean.
    """
    (x,) = site.inputs
    scope, op_type = site.scope, POOLS[type(op)]

    def pool(value: ir.Value, fill: float) -> ir.Value:
        value, attributes = padded(scope, value, op.pool_size, op.strides, op.padding, fill)
        return scope(op_type, value, kernel_shape=[op.pool_size], strides=[op.strides], **attributes)

    def ones(value: ir.Value) -> ir.Value:
        shape = scope("Concat", [1, 1], scope("Shape", value, start=2, end=3), axis=0)
        return scope("ConstantOfShape", shape, value=ir.tensor(np.ones(1, "float32")))

    def write() -> ir.Value:
        turned = scope("Transpose", x.value(), perm=[0, 2, 1])
        if op.padding == "valid":
            turned = long_enough(scope, turned, 2, x.tensor.shape[1], op.pool_size)
        if op_type == "MaxPool":
            windows = extreme(site, turned, lambda x: pool(x, -np.inf))
        else:
            windows = pool(turned, 0.0)
        if op_type == "AveragePool" and op.padding == "same" and op.strides > op.pool_size:
            windows = scope("Div", windows, pool(ones(turned), 0.0))
        return scope("Transpose", windows, perm=[0, 2, 1])

    return (site.lazy(write),)


@writes(GlobalAveragePooling1D)
def write_global_average_pooling1d(op: GlobalAveragePooling1D, site: Site) -> tuple[LazyValue, ...]:
    """``(N, T, I)`` to ``(N, I)``: the sum over the number of the valid steps, 0 / 0 where there is none."""
    (x,), (mask,) = site.inputs, site.masks
    scope, shape = site.scope, x.tensor.shape

    def summed(value: ir.Value) -> ir.Value:
        return reduced(scope, "ReduceSum", value, shape, "float32", [1], op.keepdims)

    def write() -> ir.Value:
        value = x.value()
        if mask is None:
            time = scope("Cast", scope("Shape", value, start=1, end=2), to=ir.DataType.FLOAT)
            return scope("Div", summed(value), time)
        valid = scope("Unsqueeze", mask.value(), [2])
        kept = scope("Where", valid, value, np.zeros((), "float32"))
        count = summed(scope("Cast", valid, to=ir.DataType.FLOAT))
        return scope("Div", summed(kept), count)

    return (site.lazy(write),)


@writes(GlobalMaxPooling1D)
def write_global_max_pooling1d(op: GlobalMaxPooling1D, site: Site) -> tuple[LazyValue, ...]:
    """``(N, T, I)`` to ``(N, I)``; of no steps there is no maximum."""
    (x,) = site.inputs

    def write() -> ir.Value:
        value = long_enough(site.scope, x.value(), 1, x.tensor.shape[1], 1)
        return extreme(site, value, lambda x: site.scope("ReduceMax", x, [1], keepdims=int(op.keepdims)))

    return (site.lazy(write),)
