"""`ops.Identity`: nothing at inference."""

from __future__ import annotations

from biport.ops import Identity
from export.registry import Flow, Site, writes


@writes(Identity)
def write_identity(op: Identity, site: Site) -> tuple[Flow, ...]:
    """The input itself; no node is written."""
    return (site.inputs[0],)
