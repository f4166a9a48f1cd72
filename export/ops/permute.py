"""`ops.Permute` to ``Transpose``."""

from __future__ import annotations

import onnx_ir as ir

from biport.ops import Permute
from export.registry import Flow, Site, writes


@writes(Permute)
def write_permute(op: Permute, site: Site) -> tuple[Flow, ...]:
    """``(N, ...)`` with its axes in another order."""
    (x,) = site.inputs

    def make() -> ir.Value:
        return site.scope("Transpose", x.value(), perm=[0, *op.dims])

    return (site.flow(make),)
