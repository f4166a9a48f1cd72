"""`ops.AveragePooling1D` to ``AveragePool``."""

from __future__ import annotations

from biport.ops import AveragePooling1D
from export.registry import Flow, Site, writes
from export.windows import pooled


@writes(AveragePooling1D)
def write_average_pooling1d(op: AveragePooling1D, site: Site) -> tuple[Flow, ...]:
    """``(N, T, I)`` to ``(N, T', I)``."""
    return (pooled(op, site, "AveragePool"),)
