"""`ops.GaussianDropout`: nothing at inference."""

from __future__ import annotations

from biport.ops import GaussianDropout
from export.registry import Flow, Site, writes


@writes(GaussianDropout)
def write_gaussian_dropout(op: GaussianDropout, site: Site) -> tuple[Flow, ...]:
    """The input itself; no node is written."""
    return (site.inputs[0],)
