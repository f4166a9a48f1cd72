"""`ops.LeakyReLU` to ``LeakyRelu``."""

from __future__ import annotations

from biport.ops import LeakyReLU
from export.elementwise import elementwise
from export.registry import Flow, Site, writes


@writes(LeakyReLU)
def write_leaky_re_lu(op: LeakyReLU, site: Site) -> tuple[Flow, ...]:
    """Any shape."""
    return elementwise(site, lambda x: site.scope("LeakyRelu", x, alpha=op.negative_slope))
