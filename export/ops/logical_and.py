"""`ops.LogicalAnd` to ``And``."""

from __future__ import annotations

from biport.ops import LogicalAnd
from export.merging import chained, elementwise
from export.registry import Flow, Site, writes


@writes(LogicalAnd)
def write_logical_and(op: LogicalAnd, site: Site) -> tuple[Flow, ...]:
    """Two or more masks ``(N, T)`` to one."""
    return (elementwise(site, chained(site, "And")),)
