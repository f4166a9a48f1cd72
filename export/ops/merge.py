"""Merges: several inputs to one, element by element but for ``Concat`` and ``Dot``."""

from __future__ import annotations

from functools import reduce

import numpy as np
import onnx_ir as ir

from biport.ops import (
    Add,
    Average,
    Concatenate,
    Dim,
    Dot,
    LearnedAverage,
    Maximum,
    Minimum,
    Multiply,
    Op,
    Subtract,
)
from biport.reference.functions import ACTIVATIONS
from export.onnx.elementwise import chained, common_order, elementwise, in_order, wide_mask
from export.onnx.lazy_value import LazyValue, StepForm
from export.onnx.matrices import multiplied
from export.onnx.site import Site
from export.registry import writes

SUMS: dict[type[Op], str] = {Add: "Add", Subtract: "Sub"}
EXTREMES: dict[type[Op], str] = {Maximum: "Max", Minimum: "Min"}
ZERO, ONE = np.zeros((), "float32"), np.ones((), "float32")


@writes(*SUMS)
def write_sum(op: Add | Subtract, site: Site) -> tuple[LazyValue, ...]:
    """The sum, or the first input less the second."""
    return elementwise(site, chained(site, SUMS[type(op)]))


@writes(Average)
def write_average(op: Average, site: Site) -> tuple[LazyValue, ...]:
    """The sum over the number of the inputs."""
    total = chained(site, "Add")

    def join(*values: ir.Value) -> ir.Value:
        return site.scope("Div", total(*values), np.asarray(len(values), "float32"))

    return elementwise(site, join)


@writes(LearnedAverage)
def write_learned_average(op: LearnedAverage, site: Site) -> tuple[LazyValue, ...]:
    """``w a + (1 - w) b``, the shares constants."""
    scope = site.scope
    share = ACTIVATIONS["sigmoid"](op.weight)

    def join(*values: ir.Value) -> ir.Value:
        one, two = (
            scope("Mul", value, scope.constant(np.asarray(factor), name))
            for value, factor, name in zip(values, (share, 1 - share), ("share", "rest"), strict=True)
        )
        return scope("Add", one, two)

    return elementwise(site, join, features_last=op.weight.ndim > 0)


@writes(Multiply)
def write_multiply(op: Multiply, site: Site) -> tuple[LazyValue, ...]:
    """The product; a masked step counts as 1, and where every input is masked the product is 0."""
    product = chained(site, "Mul")
    (unmasked,) = elementwise(site, product)
    if all(mask is None for mask in site.masks):
        return (unmasked,)
    scope = site.scope

    def write() -> ir.Value:
        values = [part.value() for part in site.inputs]
        masks = [wide_mask(site, position) for position in range(len(values))]
        result = product(
            *(x if m is None else scope("Where", m, x, ONE) for x, m in zip(values, masks, strict=True))
        )
        given = [mask for mask in masks if mask is not None]
        if len(given) < len(values):
            return result
        return scope("Where", reduce(lambda one, two: scope("Or", one, two), given), result, ZERO)

    return (site.lazy(write, root=unmasked.root),)


@writes(*EXTREMES)
def write_extreme(op: Maximum | Minimum, site: Site) -> tuple[LazyValue, ...]:
    """From the first input to the last; masked steps are left out as in Keras."""
    op_type = EXTREMES[type(op)]
    (unmasked,) = elementwise(site, chained(site, op_type))
    if all(mask is None for mask in site.masks):
        return (unmasked,)
    scope = site.scope

    def write() -> ir.Value:
        so_far, valid = site.inputs[0].value(), wide_mask(site, 0)
        for position, part in enumerate(site.inputs[1:], start=1):
            x, here = part.value(), wide_mask(site, position)
            x = x if here is None else scope("Where", here, x, so_far)
            so_far = so_far if valid is None else scope("Where", valid, so_far, x)
            valid = None if valid is None or here is None else scope("Or", valid, here)
            so_far = scope(op_type, so_far, x)
        return so_far

    return (site.lazy(write, root=unmasked.root),)


@writes(Concatenate)
def write_concatenate(op: Concatenate, site: Site) -> tuple[LazyValue, ...]:
    """Arrays, or masks, side by side along ``axis``."""
    rank = len(site.output_tensors[0].shape)
    order = common_order(site.inputs, rank)
    if order is not None:
        axis = order.index(op.axis % rank)
        return (site.lazy(lambda: site.scope("Concat", *in_order(site, order), axis=axis), order=order),)

    def write() -> ir.Value:
        return site.scope("Concat", *(part.value() for part in site.inputs), axis=op.axis)

    def write_steps(layout: StepForm) -> ir.Value:
        return site.scope("Concat", *(part.steps(layout) for part in site.inputs), axis=-1)

    if rank == 3 and op.axis % rank == 2:
        return (site.lazy(write, write_steps, root=site.inputs[0]),)
    return (site.lazy(write),)


@writes(Dot)
def write_dot(op: Dot, site: Site) -> tuple[LazyValue, ...]:
    """Sums of products along one axis of each input; two vectors a row give ``(N, 1)``.

    By ``MatMul``: onnxruntime 1.31 ends the process over an ``Einsum`` of nothing.
    """
    scope = site.scope

    def last(position: int) -> tuple[ir.Value, list[Dim]]:
        """An input with the axis that is summed over as its last, and its shape."""
        x, shape = site.inputs[position].value(), site.inputs[position].tensor.shape
        summed = op.axes[position] % len(shape)
        if op.normalize:
            length = scope("ReduceL2", x, [summed], keepdims=1)
            x = scope("Div", x, scope("Max", length, np.asarray(1e-7, "float32")))
        order = [*(axis for axis in range(len(shape)) if axis != summed), summed]
        x = x if summed == len(shape) - 1 else scope("Transpose", x, perm=order)
        return x, [shape[axis] for axis in order]

    def write() -> ir.Value:
        (one, (N, *left, _)), (two, (_, *right, summed)) = last(0), last(1)
        if len(left) == len(right) == 1:
            turned = scope("Transpose", two, perm=[0, 2, 1])
            return multiplied(scope, one, (N, *left, summed), turned, (N, summed, *right))
        # Every size of one input beside every size of the other, each a row times a column.
        ahead, behind = len(left), len(right)
        one = scope("Unsqueeze", one, [ahead + 1 + axis for axis in range(behind + 1)])
        two = scope("Unsqueeze", two, [*(1 + axis for axis in range(ahead)), ahead + behind + 2])
        rows, columns = [N, *left, *(1 for _ in right), 1, summed], [N, *(1 for _ in left), *right, summed, 1]
        products = multiplied(scope, one, rows, two, columns)
        ends = [ahead + behind + 1, ahead + behind + 2]
        return scope("Squeeze", products, ends if ahead + behind else ends[:1])

    return (site.lazy(write),)
