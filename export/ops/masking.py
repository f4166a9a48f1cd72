"""`ops.Masking` to ``Equal``, ``ReduceMin`` and ``Where``."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from biport.ops import Masking
from export.elementwise import elementwise
from export.ops.features_not_equal import differs
from export.registry import Flow, Site, writes


@writes(Masking)
def write_masking(op: Masking, site: Site) -> tuple[Flow, ...]:
    """``(..., I)`` with zeros where all of I are the value."""
    scope = site.scope

    def compute(x: ir.Value) -> ir.Value:
        kept = differs(scope, x, op.mask_value, keepdims=1)
        return scope("Where", kept, x, np.zeros((), "float32"))

    return elementwise(site, compute)
