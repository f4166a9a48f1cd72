"""`ops.Maximum` to ``Max``, and ``Where`` under masks."""

from __future__ import annotations

from biport.ops import Maximum
from export.extreme import extreme
from export.registry import Flow, Site, writes


@writes(Maximum)
def write_maximum(op: Maximum, site: Site) -> tuple[Flow, ...]:
    """Element by element."""
    return (extreme(site, "Max"),)
