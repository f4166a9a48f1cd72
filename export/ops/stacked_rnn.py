"""`ops.StackedRNN` to a chain of recurrent nodes that stays in step form."""

from __future__ import annotations

from biport.ops import StackedRNN
from export.recurrence import write_recurrent
from export.registry import Flow, Site, writes


@writes(StackedRNN)
def write_stacked_rnn(op: StackedRNN, site: Site) -> tuple[Flow, ...]:
    """``(N, T, I)`` and initial states, if given, to ``(N, T, H)`` or ``(N, H)``, and the final states."""
    return write_recurrent(op, site)
