"""`ops.BatchNormalization` to ``Mul`` and ``Add``: at inference it is a factor and a summand a feature."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from biport.ops import BatchNormalization
from export.layout import Layout
from export.registry import Flow, Site, writes


@writes(BatchNormalization)
def write_batch_normalization(op: BatchNormalization, site: Site) -> tuple[Flow, ...]:
    """Any shape; along the last axis of ``(N, T, I)`` the step form stays."""
    (x,) = site.inputs
    rank = len(x.tensor.shape)
    axis = op.axis % rank
    factor, summand = (array.reshape(-1, *[1] * (rank - 1 - axis)) for array in _line(op))

    def apply(value: ir.Value) -> ir.Value:
        scaled = site.scope("Mul", value, site.scope.constant(factor, "factor"))
        return site.scope("Add", scaled, site.scope.constant(summand, "summand"))

    def steps(layout: Layout) -> ir.Value | None:
        return apply(x.steps(layout)) if (rank, axis) == (3, 2) else None

    return (site.flow(lambda: apply(x.value()), steps, root=x),)


def _line(op: BatchNormalization) -> tuple[np.ndarray, np.ndarray]:
    """The factor and the summand, rounded once."""
    factor = 1 / np.sqrt(op.variance.astype("float64") + op.epsilon)
    factor = factor if op.weight is None else factor * op.weight
    summand = (0.0 if op.bias is None else op.bias) - op.mean * factor
    return factor.astype("float32"), summand.astype("float32")
