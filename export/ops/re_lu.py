"""`ops.ReLU` to ``Relu``, ``LeakyRelu``, or the two halves one by one."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from biport.ops import ReLU
from export.elementwise import elementwise
from export.registry import Flow, Site, writes


@writes(ReLU)
def write_re_lu(op: ReLU, site: Site) -> tuple[Flow, ...]:
    """Any shape."""
    scope = site.scope
    threshold = np.asarray(op.threshold, "float32")

    def compute(x: ir.Value) -> ir.Value:
        if op.threshold or op.max_value is not None or not op.negative_slope:
            return below(x, limited(above(x)))
        return scope("LeakyRelu", x, alpha=float(op.negative_slope))

    def above(x: ir.Value) -> ir.Value:
        if not op.threshold:
            return scope("Relu", x)
        return scope("Where", scope("Greater", x, threshold), x, np.zeros((), "float32"))

    def limited(y: ir.Value) -> ir.Value:
        return y if op.max_value is None else scope("Min", y, np.asarray(op.max_value, "float32"))

    def below(x: ir.Value, y: ir.Value) -> ir.Value:
        if not op.negative_slope:
            return y
        short = scope("Relu", scope("Sub", threshold, x))
        return scope("Sub", y, scope("Mul", short, np.asarray(op.negative_slope, "float32")))

    return elementwise(site, compute)
