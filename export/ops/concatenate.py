"""`ops.Concatenate` to ``Concat``."""

from __future__ import annotations

import onnx_ir as ir

from biport.ops import Concatenate
from export.layout import Layout
from export.registry import Flow, Site, writes


@writes(Concatenate)
def write_concatenate(op: Concatenate, site: Site) -> tuple[Flow, ...]:
    """Arrays, or masks, side by side along ``axis``."""
    rank = len(site.made[0].shape)
    features = rank == 3 and op.axis % rank == 2

    def make() -> ir.Value:
        return site.scope("Concat", *(part.value() for part in site.inputs), axis=op.axis)

    def steps(layout: Layout) -> ir.Value:
        return site.scope("Concat", *(part.steps(layout) for part in site.inputs), axis=-1)

    if not features:
        return (site.flow(make),)
    return (site.flow(make, steps, root=site.inputs[0]),)
