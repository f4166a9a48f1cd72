"""Normalizations."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from biport.dims import known
from biport.ops import (
    BatchNormalization,
    GroupNormalization,
    LayerNormalization,
    Normalization,
    Rescaling,
    RMSNormalization,
    UnitNormalization,
)
from biport.ops.normalization import NORMALIZATION_LEAST
from export.onnx.builder import Operand
from export.onnx.elementwise import elementwise
from export.onnx.lazy_value import LazyValue, StepForm
from export.onnx.orders import moved_axes
from export.onnx.site import Site
from export.registry import writes


@writes(BatchNormalization)
def write_batch_normalization(op: BatchNormalization, site: Site) -> tuple[LazyValue, ...]:
    """Any shape; along the last axis of ``(N, T, I)`` the step form stays.

    ``Mul`` and ``Add``: at inference it is a factor and a summand a feature.
    """
    (x,) = site.inputs
    rank = len(x.tensor.shape)
    axis = op.axis % rank
    factor, summand = _line(op)

    def apply(value: ir.Value, position: int) -> ir.Value:
        behind = [1] * (rank - 1 - position)
        scaled = site.scope("Mul", value, site.scope.constant(factor.reshape(-1, *behind), "factor"))
        return site.scope("Add", scaled, site.scope.constant(summand.reshape(-1, *behind), "summand"))

    def write() -> ir.Value:
        return apply(x.ordered(x.order), x.order.index(axis))

    def write_steps(layout: StepForm) -> ir.Value:
        return apply(x.steps(layout), axis)

    in_steps = (rank, axis) == (3, 2) and x.order == x.batch_major
    return (site.lazy(write, write_steps if in_steps else None, root=x, order=x.order),)


def _line(op: BatchNormalization) -> tuple[np.ndarray, np.ndarray]:
    """The factor and the summand, rounded once."""
    factor = 1 / np.sqrt(op.variance.astype("float64") + op.epsilon)
    factor = factor if op.weight is None else factor * op.weight
    summand = (0.0 if op.bias is None else op.bias) - op.mean * factor
    return factor.astype("float32"), summand.astype("float32")


@writes(LayerNormalization)
def write_layer_normalization(op: LayerNormalization, site: Site) -> tuple[LazyValue, ...]:
    """Any shape; over the last axis of ``(N, T, I)`` the step form stays.

    One ``LayerNormalization`` node, or its parts over axes that are not last and before opset 17, which is
    the first to have it. The node gets what is centred already: onnxruntime 1.20 to 1.26 takes the variance
    as the rest of two sums of squares, which cancels (2.7e-5 off at three features about 1, and 2.0e-7 so).
    """
    (x,) = site.inputs
    rank = len(x.tensor.shape)
    axes = [axis % rank for axis in op.axes]
    last = axes == list(range(axes[0], rank))

    def apply(value: ir.Value) -> ir.Value:
        if not last or op.rms_scaling or site.scope.older_than(1, 13) or site.scope.builder.target.opset < 17:
            return _parts(op, site, value, axes)
        sizes = [known(x.tensor.shape[axis]) for axis in axes]
        weight = np.ones(sizes, "float32") if op.weight is None else op.weight
        bias = np.zeros(sizes, "float32") if op.bias is None and site.scope.older_than(1, 19) else op.bias
        return site.scope(
            "LayerNormalization",
            _centred(site, value, axes),
            site.scope.constant(weight, "weight"),
            # onnxruntime 1.31 ends the process over a bias that is left out by an empty name, and up to 1.18
            # over one that is not there.
            *([] if bias is None else [site.scope.constant(bias, "bias")]),
            axis=-len(axes),
            epsilon=op.epsilon,
        )

    def write_steps(layout: StepForm) -> ir.Value | None:
        return apply(x.steps(layout)) if (rank, axes) == (3, [2]) else None

    return (site.lazy(lambda: apply(x.value()), write_steps, root=x),)


@writes(UnitNormalization)
def write_unit_normalization(op: UnitNormalization, site: Site) -> tuple[LazyValue, ...]:
    """Any shape; over the last axis of ``(N, T, I)`` the step form stays."""
    (x,) = site.inputs
    rank = len(x.tensor.shape)
    axes = [axis % rank for axis in op.axes]

    def apply(value: ir.Value) -> ir.Value:
        length = site.scope("ReduceL2", value, axes, keepdims=1)
        return site.scope("Div", value, site.scope("Max", length, np.asarray(1e-12, "float32")))

    def write_steps(layout: StepForm) -> ir.Value | None:
        return apply(x.steps(layout)) if (rank, axes) == (3, [2]) else None

    return (site.lazy(lambda: apply(x.value()), write_steps, root=x),)


@writes(RMSNormalization)
def write_rms_normalization(op: RMSNormalization, site: Site) -> tuple[LazyValue, ...]:
    """Any shape; over the last axis of ``(N, T, I)`` the step form stays."""
    (x,) = site.inputs
    rank, scope = len(x.tensor.shape), site.scope
    axes = [axis % rank for axis in op.axes]

    def apply(value: ir.Value) -> ir.Value:
        square = scope("ReduceMean", scope("Mul", value, value), axes, keepdims=1)
        root = scope("Sqrt", scope("Add", square, np.asarray(op.epsilon, "float32")))
        return scope("Mul", scope("Div", value, root), scope.constant(op.weight, "weight"))

    def write_steps(layout: StepForm) -> ir.Value | None:
        return apply(x.steps(layout)) if (rank, axes) == (3, [2]) else None

    return (site.lazy(lambda: apply(x.value()), write_steps, root=x),)


@writes(GroupNormalization)
def write_group_normalization(op: GroupNormalization, site: Site) -> tuple[LazyValue, ...]:
    """Any shape, in any order: the axis becomes two, of groups and of what is in each."""
    (x,) = site.inputs
    rank, scope = len(x.tensor.shape), site.scope
    batch, axis = moved_axes(x.order, [0, op.axis % rank])
    size = x.tensor.shape[op.axis]
    assert isinstance(size, int)
    wide = [size, *[1] * (rank - 1 - axis)]
    # Behind the axis each is one further.
    together = [other + (other > axis) for other in range(rank) if other not in (batch, axis)]
    together = sorted([*together, axis + 1])

    def shape(value: ir.Value, *along: int) -> Operand:
        """Those of ``value``, with ``along`` in place of the axis."""
        if axis == rank - 1:
            # A size of 0 is the one that is there.
            return [*[0] * axis, *along]
        before = [scope("Shape", value, start=0, end=axis)] if axis else []
        return scope("Concat", *before, list(along), scope("Shape", value, start=axis + 1), axis=0)

    def write() -> ir.Value:
        value = x.ordered(x.order)
        grouped = scope(
            "Reshape", value, shape(value, op.groups, size // op.groups), allowzero=int(axis < rank - 1)
        )
        centred = _centred(site, grouped, together)
        variance = scope("ReduceMean", scope("Mul", centred, centred), together, keepdims=1)
        root = scope("Sqrt", scope("Add", variance, np.asarray(op.epsilon, "float32")))
        y = scope("Reshape", scope("Div", centred, root), shape(value, size), allowzero=int(axis < rank - 1))
        for op_type, array in (("Mul", op.weight), ("Add", op.bias)):
            y = y if array is None else scope(op_type, y, scope.constant(array.reshape(wide), op_type))
        return y

    return (site.lazy(write, root=x, order=x.order),)


@writes(Normalization)
def write_normalization(op: Normalization, site: Site) -> tuple[LazyValue, ...]:
    """Two nodes; the step form of ``(N, T, I)`` stays, unless steps have numbers of their own."""
    (x,) = site.inputs
    rank, scope = len(x.tensor.shape), site.scope
    least = np.float32(NORMALIZATION_LEAST)
    mean = scope.constant(op.wide(op.mean, rank), "mean")
    deviation = scope.constant(np.maximum(np.sqrt(op.wide(op.variance, rank)), least), "deviation")

    def apply(value: ir.Value) -> ir.Value:
        if op.invert:
            return scope("Add", mean, scope("Mul", value, deviation))
        return scope("Div", scope("Sub", value, mean), deviation)

    def write_steps(layout: StepForm) -> ir.Value | None:
        return apply(x.steps(layout)) if {axis % rank for axis in op.axes} <= {2} and rank == 3 else None

    return (site.lazy(lambda: apply(x.value()), write_steps, root=x),)


@writes(Rescaling)
def write_rescaling(op: Rescaling, site: Site) -> tuple[LazyValue, ...]:
    """``Mul`` and ``Add``."""
    scope = site.scope
    scale, offset = np.asarray(op.scale, "float32"), np.asarray(op.offset, "float32")
    by_features = scale.ndim + offset.ndim > 0
    return elementwise(
        site, lambda x: scope("Add", scope("Mul", x, scale), offset), features_last=by_features
    )


def _centred(site: Site, x: ir.Value, axes: list[int]) -> ir.Value:
    return site.scope("Sub", x, site.scope("ReduceMean", x, axes, keepdims=1))


def _parts(op: LayerNormalization, site: Site, x: ir.Value, axes: list[int]) -> ir.Value:
    scope, rank = site.scope, len(site.inputs[0].tensor.shape)
    centred = _centred(site, x, axes)
    variance = scope("ReduceMean", scope("Mul", centred, centred), axes, keepdims=1)
    root = scope("Sqrt", scope("Add", variance, np.asarray(op.epsilon, "float32")))
    y = scope("Div", x if op.rms_scaling else centred, root)
    for op_type, array in (("Mul", op.weight), ("Add", op.bias)):
        if array is not None:
            sizes = dict(zip(axes, array.shape, strict=True))
            wide = array.reshape([sizes.get(axis, 1) for axis in range(rank)])
            y = scope(op_type, y, scope.constant(wide, op_type))
    return y
