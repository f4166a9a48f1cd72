"""`ops.OnesLike` to ``ConstantOfShape``."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from biport.ops import OnesLike
from export.registry import Flow, Site, writes


@writes(OnesLike)
def write_ones_like(op: OnesLike, site: Site) -> tuple[Flow, ...]:
    """``(N, T, ...)`` to ``(N, T)``, all true."""
    (x,) = site.inputs

    def make() -> ir.Value:
        shape = site.scope("Shape", x.value(), start=0, end=2)
        return site.scope("ConstantOfShape", shape, value=ir.tensor(np.ones(1, bool)))

    return (site.flow(make, root=x),)
