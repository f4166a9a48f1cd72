"""`ops.Flip` to ``Slice``."""

from __future__ import annotations

import onnx_ir as ir

from biport.ops import Flip
from export.layout import BEFORE_FIRST
from export.registry import Flow, Site, writes


@writes(Flip)
def write_flip(op: Flip, site: Site) -> tuple[Flow, ...]:
    """``(N, T, I)`` with its steps in reverse order."""
    (x,) = site.inputs

    def make() -> ir.Value:
        return site.scope("Slice", x.value(), [-1], [BEFORE_FIRST], [1], [-1])

    return (site.flow(make),)
