"""`ops.LSTM` to one fused ``LSTM`` node."""

from __future__ import annotations

from functools import cache

import onnx_ir as ir

from biport.ops import LSTM
from export.recurrence import fused_lstm, recurrent_flow
from export.registry import Flow, Site, writes

ORDER = "iofc"  # https://onnx.ai/onnx/operators/onnx__LSTM.html: W[iofc], R[iofc], Wb[iofc], Rb[iofc]


@writes(LSTM)
def write_lstm(op: LSTM, site: Site) -> tuple[Flow, ...]:
    """``(N, T, I)`` to ``(N, T, H)`` or ``(N, H)``, exact under every mask."""
    (x,) = site.inputs
    layout = site.layouts.layout(x, site.masks[0], site.name)

    @cache
    def walk() -> ir.Value:
        y = fused_lstm(site.scope, [op], ORDER, x.steps(layout), layout.lengths)
        return site.scope("Squeeze", y, [1 if op.return_sequences else 0])

    return (recurrent_flow(site, op, layout, walk, width=op.hidden_size, reverse=op.reverse),)
