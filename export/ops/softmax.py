"""`ops.Softmax` to ``Softmax``, or to its parts for several axes."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from biport.ops import Softmax
from export.elementwise import elementwise
from export.registry import Flow, Site, writes


@writes(Softmax)
def write_softmax(op: Softmax, site: Site) -> tuple[Flow, ...]:
    """Any shape; under a mask ``(N, T)``, masked scores are -1e9 before and 0 behind."""
    (x,), (mask,) = site.inputs, site.masks
    scope, rank = site.scope, len(x.tensor.shape)
    axes = sorted(axis % rank for axis in op.axes)

    def compute(x: ir.Value) -> ir.Value:
        if len(axes) == 1:
            return scope("Softmax", x, axis=axes[0])
        raised = scope("Exp", scope("Sub", x, scope("ReduceMax", x, axes, keepdims=1)))
        return scope("Div", raised, scope("ReduceSum", raised, axes, keepdims=1))

    def make() -> ir.Value:
        if mask is None:
            return compute(x.value())
        scores = scope("Where", mask.value(), x.value(), np.asarray(-1e9, "float32"))
        return scope("Where", mask.value(), compute(scores), np.zeros((), "float32"))

    if mask is None and rank == 3 and axes == [2]:
        return elementwise(site, compute)
    return (site.flow(make, root=x),)
