"""`ops.Flatten` to ``Flatten``."""

from __future__ import annotations

import onnx_ir as ir

from biport.ops import Flatten
from export.registry import Flow, Site, writes


@writes(Flatten)
def write_flatten(op: Flatten, site: Site) -> tuple[Flow, ...]:
    """``(N, ...)`` to ``(N, O)``."""
    (x,) = site.inputs

    def make() -> ir.Value:
        return site.scope("Flatten", x.value(), axis=1)

    return (site.flow(make),)
