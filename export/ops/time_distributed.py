"""`ops.TimeDistributed`: its layer between two ``Reshape``."""

from __future__ import annotations

import dataclasses

import onnx_ir as ir

from biport.ops import TimeDistributed
from export.onnx.lazy_value import LazyValue
from export.onnx.site import Site
from export.registry import WRITERS, writes


@writes(TimeDistributed)
def write_time_distributed(op: TimeDistributed, site: Site) -> tuple[LazyValue, ...]:
    """``(N, T, ...)``: the layer is given N·T rows."""
    (x,) = site.inputs
    scope = site.scope
    rows_tensor = op.inner(x.tensor)

    def rows() -> ir.Value:
        value = x.value()
        lead = scope("ReduceProd", scope("Shape", value, start=0, end=2), keepdims=1)
        shape = scope("Concat", lead, scope("Shape", value, start=2), axis=0)
        return scope("Reshape", value, shape, allowzero=1)

    inside = dataclasses.replace(
        site,
        inputs=[LazyValue(rows_tensor, scope, rows)],
        masks=[None],
        output_tensors=op.layer.infer([rows_tensor]),
    )
    (inner,) = WRITERS.lookup(type(op.layer), site.owner)(op.layer, inside)

    def write() -> ir.Value:
        value = inner.value()
        lead = scope("Shape", x.value(), start=0, end=2)
        shape = scope("Concat", lead, scope("Shape", value, start=1), axis=0)
        return scope("Reshape", value, shape, allowzero=1)

    return (site.lazy(write, root=x),)
