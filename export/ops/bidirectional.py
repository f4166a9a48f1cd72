"""`ops.Bidirectional` to one fused ``LSTM`` node that walks both ways."""

from __future__ import annotations

from functools import cache

import onnx_ir as ir

from biport.ops import LSTM, Bidirectional
from export.layout import Layout
from export.ops import lstm
from export.recurrence import fused_lstm, recurrent_flow
from export.registry import Flow, Site, writes

MERGES = {"sum": "Add", "mul": "Mul", "ave": "Mean"}


@writes(Bidirectional)
def write_bidirectional(op: Bidirectional, site: Site) -> tuple[Flow, ...]:
    """``(N, T, I)`` to one merged output or two; halves of different sizes take a node each."""
    layout = site.layouts.layout(site.inputs[0], site.masks[0], site.name)
    walk, parts = _walks(op, site, layout)
    width, other = op.forward.hidden_size, op.backward.hidden_size
    if op.merge is None:
        return tuple(
            recurrent_flow(site, op.forward, layout, part, width=half.hidden_size, output=place)
            for place, (part, half) in enumerate(zip(parts, (op.forward, op.backward), strict=True))
        )
    if op.merge == "concat" and width == other:
        return (recurrent_flow(site, op.forward, layout, walk, width=width, directions=2),)

    @cache
    def merged() -> ir.Value:
        one, two = (part() for part in parts)
        if op.merge == "concat":
            return site.scope("Concat", one, two, axis=-1)
        return site.scope(MERGES[str(op.merge)], one, two)

    total = width + other if op.merge == "concat" else width
    return (recurrent_flow(site, op.forward, layout, merged, width=total),)


def _walks(op: Bidirectional, site: Site, layout: Layout):
    """What writes both directions as ``(T', 2, N', H)``, and what writes each as ``(T', N', H)``.

    Without ``return_sequences`` there is no T'.
    """
    axis = 1 if op.forward.return_sequences else 0

    def node(*halves: LSTM) -> ir.Value:
        x = site.inputs[0].steps(layout)
        return fused_lstm(site.scope, halves, lstm.ORDER, x, layout.lengths)

    @cache
    def both() -> ir.Value:
        return node(op.forward, op.backward)

    @cache
    def parts() -> list[ir.Value]:
        if op.forward.hidden_size == op.backward.hidden_size:
            split = site.scope.several("Split", both(), wanted=(True, True), axis=axis, num_outputs=2)
        else:
            split = [node(op.forward), node(op.backward)]
        return [site.scope("Squeeze", part, [axis]) for part in split]

    return both, (lambda: parts()[0], lambda: parts()[1])
