"""`ops.PReLU` to ``PRelu``."""

from __future__ import annotations

import onnx_ir as ir

from biport.ops import PReLU
from export.elementwise import elementwise
from export.registry import Flow, Site, writes


@writes(PReLU)
def write_p_re_lu(op: PReLU, site: Site) -> tuple[Flow, ...]:
    """``(N, ...)``; with slopes of their own the steps have to stay where they are."""
    (x,) = site.inputs
    slopes = site.scope.constant(op.alpha, "alpha")
    if op.alpha.ndim == 2 and op.alpha.shape[0] == 1:
        return elementwise(site, lambda x: site.scope("PRelu", x, slopes))

    def make() -> ir.Value:
        return site.scope("PRelu", x.value(), slopes)

    return (site.flow(make, root=x),)
