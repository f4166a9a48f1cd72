"""`ops.GlobalAveragePooling1D` to ``ReduceSum`` over ``ReduceSum``."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from biport.ops import GlobalAveragePooling1D
from export.registry import Flow, Site, writes


@writes(GlobalAveragePooling1D)
def write_global_average_pooling1d(op: GlobalAveragePooling1D, site: Site) -> tuple[Flow, ...]:
    """``(N, T, I)`` to ``(N, I)``: the sum over the number of the valid steps, 0 / 0 where there is none."""
    (x,), (mask,) = site.inputs, site.masks
    scope = site.scope

    def make() -> ir.Value:
        value = x.value()
        if mask is None:
            time = scope("Cast", scope("Shape", value, start=1, end=2), to=ir.DataType.FLOAT)
            return scope("Div", scope("ReduceSum", value, [1], keepdims=int(op.keepdims)), time)
        valid = scope("Unsqueeze", mask.value(), [2])
        kept = scope("Where", valid, value, np.zeros((), "float32"))
        count = scope("ReduceSum", scope("Cast", valid, to=ir.DataType.FLOAT), [1], keepdims=int(op.keepdims))
        return scope("Div", scope("ReduceSum", kept, [1], keepdims=int(op.keepdims)), count)

    return (site.flow(make),)
