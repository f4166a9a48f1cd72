"""`ops.ELU` to ``Elu``."""

from __future__ import annotations

from biport.ops import ELU
from export.elementwise import elementwise
from export.registry import Flow, Site, writes


@writes(ELU)
def write_elu(op: ELU, site: Site) -> tuple[Flow, ...]:
    """Any shape."""
    return elementwise(site, lambda x: site.scope("Elu", x, alpha=float(op.alpha)))
