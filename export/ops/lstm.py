"""`ops.LSTM` to one fused LSTM node."""

from __future__ import annotations

from biport.ops import LSTM
from export.recurrence import write_recurrent
from export.registry import Flow, Site, writes


@writes(LSTM)
def write_lstm(op: LSTM, site: Site) -> tuple[Flow, ...]:
    """``(N, T, I)`` and initial states, if given, to ``(N, T, H)`` or ``(N, H)``, and the final states."""
    return write_recurrent(op, site)
