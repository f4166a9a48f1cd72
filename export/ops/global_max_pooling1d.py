"""`ops.GlobalMaxPooling1D` to ``ReduceMax``."""

from __future__ import annotations

import onnx_ir as ir

from biport.ops import GlobalMaxPooling1D
from export.registry import Flow, Site, writes


@writes(GlobalMaxPooling1D)
def write_global_max_pooling1d(op: GlobalMaxPooling1D, site: Site) -> tuple[Flow, ...]:
    """``(N, T, I)`` to ``(N, I)``; `export.Session` refuses T = 0, which has no maximum."""
    (x,) = site.inputs

    def make() -> ir.Value:
        return site.scope("ReduceMax", x.value(), [1], keepdims=int(op.keepdims))

    return (site.flow(make),)
