"""`ops.Subtract` to ``Sub``."""

from __future__ import annotations

from biport.ops import Subtract
from export.merging import chained, elementwise
from export.registry import Flow, Site, writes


@writes(Subtract)
def write_subtract(op: Subtract, site: Site) -> tuple[Flow, ...]:
    """The first input less the second."""
    return (elementwise(site, chained(site, "Sub")),)
