"""`ops.UpSampling1D` to ``Gather``."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from biport.ops import UpSampling1D
from export.registry import Flow, Site, writes


@writes(UpSampling1D)
def write_up_sampling1d(op: UpSampling1D, site: Site) -> tuple[Flow, ...]:
    """``(N, T, I)`` to ``(N, size · T, I)``: step ``t`` is the input's step ``t // size``."""
    (x,) = site.inputs
    scope = site.scope

    def make() -> ir.Value:
        value = x.value()
        steps = scope("Squeeze", scope("Shape", value, start=1, end=2), [0])
        start, step = np.asarray(0, "int64"), np.asarray(1, "int64")
        places = scope("Range", start, scope("Mul", steps, np.asarray(op.size, "int64")), step)
        return scope("Gather", value, scope("Div", places, np.asarray(op.size, "int64")), axis=1)

    return (site.flow(make),)
