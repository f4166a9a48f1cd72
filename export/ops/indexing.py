"""Tensor operations that look elements up by integers, or by their order.

Measured with onnxruntime 1.31 on the CPU: an index outside of the axis is an error, of equal numbers ``TopK``
gives the first, and any may be empty. ``OneHot`` counts from the end, and so is not used.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import onnx_ir as ir

from biport.ops import ArgSort, OneHot, Sort, StepAt, Take, TakeAlongAxis, TopK
from export.onnx.builder import Operand
from export.onnx.empty_axes import ordered
from export.onnx.lazy_value import LazyValue
from export.onnx.site import Site
from export.registry import writes


@writes(Take)
def write_take(op: Take, site: Site) -> tuple[LazyValue, ...]:
    """One ``Gather``."""
    x, indices = site.inputs
    return (site.lazy(lambda: site.scope("Gather", x.value(), indices.value(), axis=op.axis)),)


@writes(TakeAlongAxis)
def write_take_along_axis(op: TakeAlongAxis, site: Site) -> tuple[LazyValue, ...]:
    """One ``GatherElements``, of inputs that were stretched to each other."""
    scope, (x, indices) = site.scope, site.inputs
    axis = op.axis % len(x.tensor.shape)
    others = [tensor.shape[:axis] + tensor.shape[axis + 1 :] for tensor in (x.tensor, indices.tensor)]

    def write() -> ir.Value:
        values = [x.value(), indices.value()]
        if others[0] != others[1]:
            one, two = (scope("Shape", value) for value in values)
            shape = scope("Where", scope("Equal", one, [1]), two, one)
            here = np.arange(len(x.tensor.shape)) == axis
            shape = scope("Where", scope.constant(here, "axis"), [1], shape)
            values = [scope("Expand", value, shape) for value in values]
        return scope("GatherElements", *values, axis=axis)

    return (site.lazy(write),)


@writes(StepAt)
def write_step_at(op: StepAt, site: Site) -> tuple[LazyValue, ...]:
    """One ``GatherND``, which takes int64."""
    x, steps = site.inputs

    def write() -> ir.Value:
        at = steps.value()
        if steps.tensor.dtype != "int64":
            at = site.scope("Cast", at, to=ir.DataType.INT64)
        return site.scope("GatherND", x.value(), site.scope("Unsqueeze", at, [1]), batch_dims=1)

    return (site.lazy(write),)


@writes(OneHot)
def write_one_hot(op: OneHot, site: Site) -> tuple[LazyValue, ...]:
    """Integers compared with every class."""
    scope, (x,) = site.scope, site.inputs
    classes = np.arange(op.num_classes, dtype=x.tensor.dtype)

    def write() -> ir.Value:
        chosen = scope("Equal", scope("Unsqueeze", x.value(), [-1]), classes)
        if op.output_dtype == "bool":
            return chosen
        return scope("Cast", chosen, to=ir.DataType.from_numpy(np.dtype(op.output_dtype)))

    return (site.lazy(write, root=x if len(x.tensor.shape) > 1 else None),)


@writes(TopK)
def write_top_k(op: TopK, site: Site) -> tuple[LazyValue, ...]:
    """One ``TopK`` of two outputs."""
    axis = op.axis % len(site.inputs[0].tensor.shape)
    both = _ordered(site, axis, op.largest, lambda _: [op.k])
    return tuple(
        site.lazy(lambda output=output: both()[output], output=output) for output in range(op.output_count)
    )


@writes(Sort, ArgSort)
def write_order(op: Sort | ArgSort, site: Site) -> tuple[LazyValue, ...]:
    """All of the numbers by ``TopK``, or their positions."""
    axis = op.axis % len(site.inputs[0].tensor.shape)
    size = site.inputs[0].tensor.shape[axis]

    def every(x: ir.Value) -> Operand:
        return [size] if isinstance(size, int) else site.scope("Shape", x, start=axis, end=axis + 1)

    both = _ordered(site, axis, op.descending, every, every=True)
    return (site.lazy(lambda: both()[isinstance(op, ArgSort)], root=site.inputs[0]),)


def _ordered(
    site: Site, axis: int, largest: bool, count: Callable[[ir.Value], Operand], every: bool = False
) -> Callable[[], list[ir.Value]]:
    """Writes numbers and positions, once."""
    tensor = site.inputs[0].tensor

    @cache
    def write() -> list[ir.Value]:
        x = site.inputs[0].value()
        return ordered(site.scope, x, tensor.shape, tensor.dtype, axis, largest, count, every)

    return write
