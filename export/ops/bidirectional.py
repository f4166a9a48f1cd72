"""`ops.Bidirectional` to one fused node that walks both ways, or to a walk for each half."""

from __future__ import annotations

from functools import cache

import onnx_ir as ir

from biport.ops import Bidirectional, Cell
from export.fused import go_together
from export.layout import Layout
from export.lowering import walk, why_looped
from export.recurrence import InitialStates, Value, Walk, output_flow, state_flows, walk_once
from export.registry import Flow, Site, writes

MERGES = {"sum": "Add", "mul": "Mul", "ave": "Mean"}


@writes(Bidirectional)
def write_bidirectional(op: Bidirectional, site: Site) -> tuple[Flow, ...]:
    """``(N, T, I)`` and initial states, if given, to one merged output or two, and the final states.

    Halves of different kinds, sizes or activations take a node each.
    """
    layout = site.layouts.layout(site.inputs[0], site.masks[0], site.name)
    initial = InitialStates(site, layout)
    both, one, two = _walks(op, site, layout, initial)
    outputs = _outputs(op, site, layout, both, (one, two))
    return *outputs, *state_flows(site, layout, [*one.states, *two.states], initial, first=len(outputs))


def _outputs(
    op: Bidirectional, site: Site, layout: Layout, both: Value | None, walks: tuple[Walk, Walk]
) -> list[Flow]:
    width, other = op.forward.sizes[1], op.backward.sizes[1]
    if op.merge is None:
        return [
            output_flow(site, op.forward, layout, walk.output, width=size, output=place)
            for place, (walk, size) in enumerate(zip(walks, (width, other), strict=True))
        ]
    if op.merge == "concat" and both is not None:
        return [output_flow(site, op.forward, layout, both, width=width, directions=2)]

    @cache
    def merged() -> ir.Value:
        one, two = (walk.output() for walk in walks)
        if op.merge == "concat":
            return site.scope("Concat", one, two, axis=-1)
        return site.scope(MERGES[str(op.merge)], one, two)

    total = width + other if op.merge == "concat" else width
    return [output_flow(site, op.forward, layout, merged, width=total)]


def _walks(
    op: Bidirectional, site: Site, layout: Layout, initial: InitialStates
) -> tuple[Value | None, Walk, Walk]:
    """What writes both outputs as ``(T', 2, N', H)`` or ``(2, N', H)``, if one node does; and each half."""
    one, two = op.forward, op.backward
    if (
        isinstance(one, Cell)
        and isinstance(two, Cell)
        and go_together(one, two)
        and why_looped(one, site.lowering, layout) is None
    ):
        return _walk_both(one, two, site, layout, initial)
    second = walk_once(site, two, layout, initial, first=len(one.state_sizes))
    return None, walk_once(site, one, layout, initial), second


def _walk_both(
    one: Cell, two: Cell, site: Site, layout: Layout, initial: InitialStates
) -> tuple[Value, Walk, Walk]:
    scope, every, count = site.scope, one.return_sequences, len(one.states)

    @cache
    def node() -> list[ir.Value | None]:
        wanted = every, one.return_state or not every, *(one.return_state for _ in one.states[1:])
        x = site.inputs[0].steps(layout)
        given = [_stacked(site, initial, place, count) for place in range(count)] if initial.given else []
        return walk(scope, site.lowering, [one, two], "bidirectional", layout, x, given, wanted)

    @cache
    def parts(place: int) -> list[ir.Value]:
        """The two halves of a result of the node."""
        value, axis = node()[place], 1 if place == 0 else 0
        split = scope.several("Split", value, wanted=(True, True), axis=axis, num_outputs=2)
        return [scope("Squeeze", part, [axis]) for part in split]

    def both() -> ir.Value:
        value = node()[0 if every else 1]
        assert value is not None
        return value

    def half(side: int) -> Walk:
        places = range(1, 1 + count) if one.return_state else ()
        states = [lambda place=place: parts(place)[side] for place in places]
        return Walk(lambda: parts(0 if every else 1)[side], states)

    return both, half(0), half(1)


def _stacked(site: Site, initial: InitialStates, place: int, count: int) -> ir.Value:
    """One initial state of both halves, ``(2, N', H)``."""
    halves = [site.scope("Unsqueeze", initial(place + side * count), [0]) for side in (0, 1)]
    return site.scope("Concat", *halves, axis=0)
