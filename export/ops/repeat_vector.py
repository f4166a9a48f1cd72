"""`ops.RepeatVector` to ``Expand``."""

from __future__ import annotations

import onnx_ir as ir

from biport.ops import RepeatVector
from export.registry import Flow, Site, writes


@writes(RepeatVector)
def write_repeat_vector(op: RepeatVector, site: Site) -> tuple[Flow, ...]:
    """``(N, I)`` to ``(N, n, I)``."""
    (x,) = site.inputs

    def make() -> ir.Value:
        return site.scope("Expand", site.scope("Unsqueeze", x.value(), [1]), [1, op.n, 1])

    return (site.flow(make),)
