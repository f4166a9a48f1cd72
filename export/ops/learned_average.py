"""`ops.LearnedAverage` to ``Mul`` and ``Add``, its shares constants."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from biport.ops import LearnedAverage
from biport.reference.functions import ACTIVATIONS
from export.merging import elementwise
from export.registry import Flow, Site, writes


@writes(LearnedAverage)
def write_learned_average(op: LearnedAverage, site: Site) -> tuple[Flow, ...]:
    """``w a + (1 - w) b``."""
    scope = site.scope
    share = ACTIVATIONS["sigmoid"](op.weight)

    def join(values: Sequence[ir.Value]) -> ir.Value:
        one, two = (
            scope("Mul", value, scope.constant(np.asarray(factor), name))
            for value, factor, name in zip(values, (share, 1 - share), ("share", "rest"), strict=True)
        )
        return scope("Add", one, two)

    return (elementwise(site, join),)
