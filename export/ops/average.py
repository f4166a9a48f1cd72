"""`ops.Average` to ``Add`` and ``Div``."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from biport.ops import Average
from export.merging import chained, elementwise
from export.registry import Flow, Site, writes


@writes(Average)
def write_average(op: Average, site: Site) -> tuple[Flow, ...]:
    """The sum over the number of the inputs."""
    total = chained(site, "Add")

    def join(values: Sequence[ir.Value]) -> ir.Value:
        return site.scope("Div", total(values), np.asarray(len(values), "float32"))

    return (elementwise(site, join),)
