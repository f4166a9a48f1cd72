"""`ops.FeaturesNotEqual` to ``Equal``, ``ReduceMin`` and ``Not``."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from biport.ops import FeaturesNotEqual
from export.builder import Scope
from export.registry import Flow, Site, writes


@writes(FeaturesNotEqual)
def write_features_not_equal(op: FeaturesNotEqual, site: Site) -> tuple[Flow, ...]:
    """``(N, T, I)`` floats to ``(N, T)`` booleans."""
    (x,) = site.inputs

    def make() -> ir.Value:
        return differs(site.scope, x.value(), op.value, keepdims=0)

    return (site.flow(make, root=x),)


def differs(scope: Scope, x: ir.Value, value: float, keepdims: int) -> ir.Value:
    """Where any element of the last dimension is not ``value``."""
    equal = scope("Cast", scope("Equal", x, np.asarray(value, "float32")), to=ir.DataType.INT32)
    all_equal = scope("ReduceMin", equal, [-1], keepdims=keepdims)
    return scope("Not", scope("Cast", all_equal, to=ir.DataType.BOOL))
