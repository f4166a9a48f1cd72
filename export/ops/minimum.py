"""`ops.Minimum` to ``Min``, and ``Where`` under masks."""

from __future__ import annotations

from biport.ops import Minimum
from export.extreme import extreme
from export.registry import Flow, Site, writes


@writes(Minimum)
def write_minimum(op: Minimum, site: Site) -> tuple[Flow, ...]:
    """Element by element."""
    return (extreme(site, "Min"),)
