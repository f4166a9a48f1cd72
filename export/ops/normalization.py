"""Normalizations."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from biport.dims import known
from biport.ops import BatchNormalization, LayerNormalization, UnitNormalization
from export.onnx.lazy_value import LazyValue, StepForm
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
    factor, summand = (array.reshape(-1, *[1] * (rank - 1 - axis)) for array in _line(op))

    def apply(value: ir.Value) -> ir.Value:
        scaled = site.scope("Mul", value, site.scope.constant(factor, "factor"))
        return site.scope("Add", scaled, site.scope.constant(summand, "summand"))

    def write_steps(layout: StepForm) -> ir.Value | None:
        return apply(x.steps(layout)) if (rank, axis) == (3, 2) else None

    return (site.lazy(lambda: apply(x.value()), write_steps, root=x),)


def _line(op: BatchNormalization) -> tuple[np.ndarray, np.ndarray]:
    """The factor and the summand, rounded once."""
    factor = 1 / np.sqrt(op.variance.astype("float64") + op.epsilon)
    factor = factor if op.weight is None else factor * op.weight
    summand = (0.0 if op.bias is None else op.bias) - op.mean * factor
    return factor.astype("float32"), summand.astype("float32")


@writes(LayerNormalization)
def write_layer_normalization(op: LayerNormalization, site: Site) -> tuple[LazyValue, ...]:
    """Any shape; over the last axis of ``(N, T, I)`` the step form stays.

    One ``LayerNormalization`` node, or its parts over axes that are not last. The node gets what is centred
    already: onnxruntime 1.20 to 1.26 takes the variance as the rest of two sums of squares, which cancels
    (2.7e-5 off at three features about 1, and 2.0e-7 so).
    """
    (x,) = site.inputs
    rank = len(x.tensor.shape)
    axes = [axis % rank for axis in op.axes]
    last = axes == list(range(axes[0], rank))

    def apply(value: ir.Value) -> ir.Value:
        if not last or op.rms_scaling:
            return _parts(op, site, value, axes)
        sizes = [known(x.tensor.shape[axis]) for axis in axes]
        weight = np.ones(sizes, "float32") if op.weight is None else op.weight
        return site.scope(
            "LayerNormalization",
            _centred(site, value, axes),
            site.scope.constant(weight, "weight"),
            # onnxruntime 1.31 ends the process over a bias that is left out by an empty name.
            *([] if op.bias is None else [site.scope.constant(op.bias, "bias")]),
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
