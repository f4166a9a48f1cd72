"""`ops.Dropout`: nothing at inference."""

from __future__ import annotations

from biport.ops import Dropout
from export.registry import Flow, Site, writes


@writes(Dropout)
def write_dropout(op: Dropout, site: Site) -> tuple[Flow, ...]:
    """The input itself; no node is written."""
    return (site.inputs[0],)
