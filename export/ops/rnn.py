"""`ops.RNN` to one fused RNN node."""

from __future__ import annotations

from biport.ops import RNN
from export.recurrence import write_recurrent
from export.registry import Flow, Site, writes


@writes(RNN)
def write_rnn(op: RNN, site: Site) -> tuple[Flow, ...]:
    """``(N, T, I)`` and initial states, if given, to ``(N, T, H)`` or ``(N, H)``, and the final states."""
    return write_recurrent(op, site)
