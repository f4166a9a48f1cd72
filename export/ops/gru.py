"""`ops.GRU` to one fused GRU node."""

from __future__ import annotations

from biport.ops import GRU
from export.recurrence import write_recurrent
from export.registry import Flow, Site, writes


@writes(GRU)
def write_gru(op: GRU, site: Site) -> tuple[Flow, ...]:
    """``(N, T, I)`` and initial states, if given, to ``(N, T, H)`` or ``(N, H)``, and the final states."""
    return write_recurrent(op, site)
