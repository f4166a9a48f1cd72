"""Masks: where they come from, what joins them, and the layer that zeroes masked steps."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from biport.errors import UnsupportedError
from biport.ops import FeaturesNotEqual, LogicalAnd, LogicalOr, Masking, NotEqual, OnesLike, Op
from export.onnx.elementwise import chained, elementwise
from export.onnx.lazy_value import LazyValue
from export.onnx.site import Site
from export.registry import writes

LOGICAL: dict[type[Op], str] = {LogicalAnd: "And", LogicalOr: "Or"}


@writes(NotEqual)
def write_not_equal(op: NotEqual, site: Site) -> tuple[LazyValue, ...]:
    """``(N, T)`` integers to booleans.

    Raises:
        UnsupportedError: the value does not fit the integers' dtype.
    """
    (ids,) = site.inputs
    limits = np.iinfo(ids.tensor.dtype)
    if not limits.min <= op.value <= limits.max:
        raise UnsupportedError(site.owner, "value", op.value, f"values that fit {ids.tensor.dtype}")

    def write() -> ir.Value:
        value = np.asarray(op.value, ids.tensor.dtype)
        return site.scope("Not", site.scope("Equal", ids.value(), value))

    return (site.lazy(write, root=ids),)


@writes(FeaturesNotEqual)
def write_features_not_equal(op: FeaturesNotEqual, site: Site) -> tuple[LazyValue, ...]:
    """``(N, T, I)`` floats to ``(N, T)`` booleans."""
    (x,) = site.inputs
    return (site.lazy(lambda: _differs(site, x.value(), op.value, keepdims=0), root=x),)


@writes(Masking)
def write_masking(op: Masking, site: Site) -> tuple[LazyValue, ...]:
    """``(..., I)`` with zeros where all of I are the value."""
    scope = site.scope

    def compute(x: ir.Value) -> ir.Value:
        kept = _differs(site, x, op.mask_value, keepdims=1)
        return scope("Where", kept, x, np.zeros((), "float32"))

    return elementwise(site, compute, features_last=True)


@writes(*LOGICAL)
def write_logical(op: LogicalAnd | LogicalOr, site: Site) -> tuple[LazyValue, ...]:
    """Two or more masks ``(N, T)`` to one."""
    return elementwise(site, chained(site, LOGICAL[type(op)]))


@writes(OnesLike)
def write_ones_like(op: OnesLike, site: Site) -> tuple[LazyValue, ...]:
    """``(N, T, ...)`` to ``(N, T)``, all true."""
    (x,) = site.inputs

    def write() -> ir.Value:
        shape = site.scope("Shape", x.value(), start=0, end=2)
        return site.scope("ConstantOfShape", shape, value=ir.tensor(np.ones(1, bool)))

    return (site.lazy(write, root=x),)


def _differs(site: Site, x: ir.Value, value: float, keepdims: int) -> ir.Value:
    """Where any element of the last dimension is not ``value``."""
    scope = site.scope
    equal = scope("Cast", scope("Equal", x, np.asarray(value, "float32")), to=ir.DataType.INT32)
    # Over nothing onnxruntime 1.31 reduces no axis that is counted from behind.
    last = len(site.inputs[0].tensor.shape) - 1
    all_equal = scope("ReduceMin", equal, [last], keepdims=keepdims)
    return scope("Not", scope("Cast", all_equal, to=ir.DataType.BOOL))
