"""Ops that move numbers and compute none."""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir

from biport.ops import (
    Cropping1D,
    Flatten,
    Permute,
    RepeatVector,
    Reshape,
    UpSampling1D,
    ZeroPadding1D,
)
from export.onnx.lazy_value import LazyValue
from export.onnx.site import Site
from export.registry import writes


@writes(Cropping1D)
def write_cropping1d(op: Cropping1D, site: Site) -> tuple[LazyValue, ...]:
    """``(N, T, I)`` to ``(N, max(T - first - last, 0), I)``."""
    (x,) = site.inputs
    first, last = op.cropping
    return (site.lazy(lambda: site.scope("Slice", x.value(), [first], [-last or 2**63 - 1], [1])),)


@writes(Flatten)
def write_flatten(op: Flatten, site: Site) -> tuple[LazyValue, ...]:
    """``(N, ...)`` to ``(N, O)``."""
    (x,) = site.inputs
    return (site.lazy(lambda: site.scope("Flatten", x.value(), axis=1)),)


@writes(Permute)
def write_permute(op: Permute, site: Site) -> tuple[LazyValue, ...]:
    """``(N, ...)`` with its axes in another order."""
    (x,) = site.inputs
    return (site.lazy(lambda: site.scope("Transpose", x.value(), perm=[0, *op.dims])),)


@writes(RepeatVector)
def write_repeat_vector(op: RepeatVector, site: Site) -> tuple[LazyValue, ...]:
    """``(N, I)`` to ``(N, n, I)``."""
    (x,) = site.inputs

    def write() -> ir.Value:
        return site.scope("Expand", site.scope("Unsqueeze", x.value(), [1]), [1, op.n, 1])

    return (site.lazy(write),)


@writes(Reshape)
def write_reshape(op: Reshape, site: Site) -> tuple[LazyValue, ...]:
    """``(N, ...)`` to ``(N, *target_shape)``; a size that varies is computed from the input's."""
    (x,) = site.inputs
    scope = site.scope
    fixed = [size for size in site.output_tensors[0].shape[1:] if isinstance(size, int)]

    def write() -> ir.Value:
        value = x.value()
        if len(fixed) == len(op.target_shape):
            return scope("Reshape", value, [0, *fixed])
        # Over an empty batch ONNX cannot tell what -1 is, and 0 means a size of the input.
        elements = scope("ReduceProd", scope("Shape", value, start=1), [0], keepdims=1)
        known = math.prod(size for size in op.target_shape if size != -1)
        left = scope("Div", elements, [known])
        parts = [left if size == -1 else [size] for size in op.target_shape]
        shape = scope("Concat", scope("Shape", value, start=0, end=1), *parts, axis=0)
        return scope("Reshape", value, shape, allowzero=1)

    return (site.lazy(write),)


@writes(UpSampling1D)
def write_up_sampling1d(op: UpSampling1D, site: Site) -> tuple[LazyValue, ...]:
    """``(N, T, I)`` to ``(N, size · T, I)``: step ``t`` is the input's step ``t // size``."""
    (x,) = site.inputs
    scope = site.scope

    def write() -> ir.Value:
        value = x.value()
        steps = scope("Squeeze", scope("Shape", value, start=1, end=2), [0])
        start, step = np.asarray(0, "int64"), np.asarray(1, "int64")
        outputs = scope("Range", start, scope("Mul", steps, np.asarray(op.size, "int64")), step)
        return scope("Gather", value, scope("Div", outputs, np.asarray(op.size, "int64")), axis=1)

    return (site.lazy(write),)


@writes(ZeroPadding1D)
def write_zero_padding1d(op: ZeroPadding1D, site: Site) -> tuple[LazyValue, ...]:
    """``(N, T, I)`` to ``(N, before + T + behind, I)``."""
    (x,) = site.inputs
    # Of all axes, see `export.onnx.dynamic_sizes.DynamicSizes.pad`.
    return (site.lazy(lambda: site.scope("Pad", x.value(), [0, op.padding[0], 0, 0, op.padding[1], 0])),)
