"""`ops.ZeroPadding1D` to ``Pad``."""

from __future__ import annotations

import onnx_ir as ir

from biport.ops import ZeroPadding1D
from export.registry import Flow, Site, writes


@writes(ZeroPadding1D)
def write_zero_padding1d(op: ZeroPadding1D, site: Site) -> tuple[Flow, ...]:
    """``(N, T, I)`` to ``(N, before + T + behind, I)``."""
    (x,) = site.inputs

    def make() -> ir.Value:
        # Of all axes, see `export.layout.Sizes.pad`.
        return site.scope("Pad", x.value(), [0, op.padding[0], 0, 0, op.padding[1], 0])

    return (site.flow(make),)
