"""Activations, with settings and without, by `export.onnx.activations`."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from biport.ops import ELU, Activation, LeakyReLU, PReLU, ReLU, Softmax
from export.onnx.activations import OVER_FEATURES, activate
from export.onnx.elementwise import elementwise
from export.onnx.empty_axes import reduced
from export.onnx.lazy_value import LazyValue, Order
from export.onnx.site import Site
from export.registry import writes


@writes(Activation)
def write_activation(op: Activation, site: Site) -> tuple[LazyValue, ...]:
    """Any shape."""
    by_features = op.function in OVER_FEATURES
    return elementwise(site, lambda x: activate(site.scope, op.function, x), features_last=by_features)


@writes(ELU)
def write_elu(op: ELU, site: Site) -> tuple[LazyValue, ...]:
    """Any shape."""
    return elementwise(site, lambda x: site.scope("Elu", x, alpha=float(op.alpha)))


@writes(LeakyReLU)
def write_leaky_re_lu(op: LeakyReLU, site: Site) -> tuple[LazyValue, ...]:
    """Any shape."""
    return elementwise(site, lambda x: site.scope("LeakyRelu", x, alpha=op.negative_slope))


@writes(PReLU)
def write_p_re_lu(op: PReLU, site: Site) -> tuple[LazyValue, ...]:
    """``(N, ...)``; with slopes of their own the steps have to stay where they are."""
    (x,) = site.inputs

    def compute(value: ir.Value, order: Order) -> ir.Value:
        # In front of the slopes is the batch, over which they are the same.
        slopes = op.alpha[None].transpose(order)[0] if order[0] == 0 else op.alpha[None].transpose(order)
        return site.scope("PRelu", value, site.scope.constant(slopes, "alpha"))

    if op.alpha.ndim == 2 and op.alpha.shape[0] == 1 and x.order == x.batch_major:
        return elementwise(site, lambda value: compute(value, x.order))
    return (site.lazy(lambda: compute(x.ordered(x.order), x.order), root=x, order=x.order),)


@writes(ReLU)
def write_re_lu(op: ReLU, site: Site) -> tuple[LazyValue, ...]:
    """Any shape, as ``Relu``, ``LeakyRelu``, or each side of the threshold by itself."""
    scope = site.scope
    threshold = np.asarray(op.threshold, "float32")

    def compute(x: ir.Value) -> ir.Value:
        if op.threshold or op.max_value is not None or not op.negative_slope:
            return below(x, limited(above(x)))
        return scope("LeakyRelu", x, alpha=float(op.negative_slope))

    def above(x: ir.Value) -> ir.Value:
        if not op.threshold:
            return scope("Relu", x)
        return scope("Where", scope("Greater", x, threshold), x, np.zeros((), "float32"))

    def limited(y: ir.Value) -> ir.Value:
        return y if op.max_value is None else scope("Min", y, np.asarray(op.max_value, "float32"))

    def below(x: ir.Value, y: ir.Value) -> ir.Value:
        if not op.negative_slope:
            return y
        short = scope("Relu", scope("Sub", threshold, x))
        return scope("Sub", y, scope("Mul", short, np.asarray(op.negative_slope, "float32")))

    return elementwise(site, compute)


@writes(Softmax)
def write_softmax(op: Softmax, site: Site) -> tuple[LazyValue, ...]:
    """Any shape; under a mask ``(N, T)``, masked scores are -1e9 before and 0 behind."""
    (x,), (mask,) = site.inputs, site.masks
    scope, shape, rank = site.scope, x.tensor.shape, len(x.tensor.shape)
    axes = sorted(axis % rank for axis in op.axes)

    def compute(x: ir.Value) -> ir.Value:
        if len(axes) == 1:
            return scope("Softmax", x, axis=axes[0])
        raised = scope("Exp", scope("Sub", x, over_axes("ReduceMax", x)))
        return scope("Div", raised, over_axes("ReduceSum", raised))

    def over_axes(op_type: str, x: ir.Value) -> ir.Value:
        return reduced(scope, op_type, x, shape, "float32", axes, True)

    def write() -> ir.Value:
        if mask is None:
            return compute(x.value())
        scores = scope("Where", mask.value(), x.value(), np.asarray(-1e9, "float32"))
        return scope("Where", mask.value(), compute(scores), np.zeros((), "float32"))

    if mask is None and rank == 3 and axes == [2]:
        return elementwise(site, compute, features_last=True)
    return (site.lazy(write, root=x),)
