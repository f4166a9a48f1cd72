"""`ops.GaussianNoise`: nothing at inference."""

from __future__ import annotations

from biport.ops import GaussianNoise
from export.registry import Flow, Site, writes


@writes(GaussianNoise)
def write_gaussian_noise(op: GaussianNoise, site: Site) -> tuple[Flow, ...]:
    """The input itself; no node is written."""
    return (site.inputs[0],)
