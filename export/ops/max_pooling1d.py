"""`ops.MaxPooling1D` to ``MaxPool``."""

from __future__ import annotations

from biport.ops import MaxPooling1D
from export.registry import Flow, Site, writes
from export.windows import pooled


@writes(MaxPooling1D)
def write_max_pooling1d(op: MaxPooling1D, site: Site) -> tuple[Flow, ...]:
    """``(N, T, I)`` to ``(N, T', I)``."""
    return (pooled(op, site, "MaxPool"),)
