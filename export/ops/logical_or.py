"""`ops.LogicalOr` to ``Or``."""

from __future__ import annotations

import functools

import onnx_ir as ir

from biport.ops import LogicalOr
from export.registry import Flow, Site, writes


@writes(LogicalOr)
def write_logical_or(op: LogicalOr, site: Site) -> tuple[Flow, ...]:
    """Two or more masks ``(N, T)`` to one."""

    def make() -> ir.Value:
        masks = (mask.value() for mask in site.inputs)
        return functools.reduce(lambda one, two: site.scope("Or", one, two), masks)

    return (site.flow(make, root=site.inputs[0]),)
