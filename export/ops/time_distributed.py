"""`ops.TimeDistributed`: its layer between two ``Reshape``."""

from __future__ import annotations

import dataclasses

import onnx_ir as ir

from biport.ops import TimeDistributed
from export.registry import WRITERS, Flow, Site, writes


@writes(TimeDistributed)
def write_time_distributed(op: TimeDistributed, site: Site) -> tuple[Flow, ...]:
    """``(N, T, ...)``: the layer is given N·T rows."""
    (x,) = site.inputs
    scope = site.scope
    rows_tensor = op.inner(x.tensor)

    def rows() -> ir.Value:
        value = x.value()
        lead = scope("ReduceProd", scope("Shape", value, start=0, end=2), keepdims=1)
        return scope(
            "Reshape", value, scope("Concat", lead, scope("Shape", value, start=2), axis=0), allowzero=1
        )

    made = op.layer.infer([rows_tensor])
    inside = dataclasses.replace(site, inputs=[Flow(rows_tensor, rows)], masks=[None], made=made)
    (inner,) = WRITERS.lookup(type(op.layer), site.owner)(op.layer, inside)

    def make() -> ir.Value:
        value = inner.value()
        lead = scope("Shape", x.value(), start=0, end=2)
        return scope(
            "Reshape", value, scope("Concat", lead, scope("Shape", value, start=1), axis=0), allowzero=1
        )

    return (site.flow(make, root=x),)
