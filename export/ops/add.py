"""`ops.Add` to ``Add``."""

from __future__ import annotations

from biport.ops import Add
from export.merging import chained, elementwise
from export.registry import Flow, Site, writes


@writes(Add)
def write_add(op: Add, site: Site) -> tuple[Flow, ...]:
    """The sum."""
    return (elementwise(site, chained(site, "Add")),)
