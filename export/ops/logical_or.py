"""`ops.LogicalOr` to ``Or``."""

from __future__ import annotations

from biport.ops import LogicalOr
from export.merging import chained, elementwise
from export.registry import Flow, Site, writes


@writes(LogicalOr)
def write_logical_or(op: LogicalOr, site: Site) -> tuple[Flow, ...]:
    """Two or more masks ``(N, T)`` to one."""
    return (elementwise(site, chained(site, "Or")),)
