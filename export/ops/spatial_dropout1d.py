"""`ops.SpatialDropout1D`: nothing at inference."""

from __future__ import annotations

from biport.ops import SpatialDropout1D
from export.registry import Flow, Site, writes


@writes(SpatialDropout1D)
def write_spatial_dropout1d(op: SpatialDropout1D, site: Site) -> tuple[Flow, ...]:
    """The input itself; no node is written."""
    return (site.inputs[0],)
