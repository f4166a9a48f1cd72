"""`ops.AlphaDropout`: nothing at inference."""

from __future__ import annotations

from biport.ops import AlphaDropout
from export.registry import Flow, Site, writes


@writes(AlphaDropout)
def write_alpha_dropout(op: AlphaDropout, site: Site) -> tuple[Flow, ...]:
    """The input itself; no node is written."""
    return (site.inputs[0],)
