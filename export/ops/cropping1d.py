"""`ops.Cropping1D` to ``Slice``."""

from __future__ import annotations

import onnx_ir as ir

from biport.ops import Cropping1D
from export.registry import Flow, Site, writes


@writes(Cropping1D)
def write_cropping1d(op: Cropping1D, site: Site) -> tuple[Flow, ...]:
    """``(N, T, I)`` to ``(N, max(T - first - last, 0), I)``."""
    (x,) = site.inputs
    first, last = op.cropping

    def make() -> ir.Value:
        return site.scope("Slice", x.value(), [first], [-last or 2**63 - 1], [1])

    return (site.flow(make),)
