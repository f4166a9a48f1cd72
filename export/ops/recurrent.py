"""Recurrent layers to fused nodes or scans, two directions in one if it can; `export.recurrent.lowering`."""

from __future__ import annotations

from functools import cache

import onnx_ir as ir

from biport.ops import GRU, LSTM, RNN, Bidirectional, Cell, Recurrent, StackedRNN
from export.onnx.fused_node import go_together
from export.onnx.lazy_value import LazyValue
from export.onnx.site import Site
from export.onnx.step_layout import StepLayout
from export.recurrent.direction import (
    Deferred,
    DirectionOutputs,
    InitialStates,
    fixed,
    one_direction,
    output_value,
    state_values,
    write_direction,
)
from export.recurrent.lowering import NodeOutputs, layout_of, lowered, why_looped
from export.registry import writes

MERGES = {"sum": "Add", "mul": "Mul", "ave": "Mean"}


@writes(LSTM, GRU, RNN, StackedRNN)
def write_recurrent(op: Recurrent, site: Site) -> tuple[LazyValue, ...]:
    """``(N, T, I)`` and initial states, if given, to ``(N, T, H)`` or ``(N, H)``, and the final states.

    A stack is a chain of nodes that stays in step form.
    """
    return one_direction(op, site)


@writes(Bidirectional)
def write_bidirectional(op: Bidirectional, site: Site) -> tuple[LazyValue, ...]:
    """``(N, T, I)`` and initial states, if given, to one merged output or two, and the final states.

    Directions of different kinds, sizes or activations take a node each.
    """
    layout = layout_of(op, site)
    initial = InitialStates(site, layout, site.inputs[1:])
    both, forward, backward = _directions(op, site, layout, initial)
    outputs = _outputs(op, site, layout, both, (forward, backward))
    states = [*forward.states, *backward.states]
    shapes = op.state_shapes(site.inputs[0].tensor.shape[2:])
    return *outputs, *state_values(site, layout, states, initial, first=len(outputs), shapes=shapes)


def _outputs(
    op: Bidirectional,
    site: Site,
    layout: StepLayout,
    both: Deferred | None,
    directions: tuple[DirectionOutputs, DirectionOutputs],
) -> list[LazyValue]:
    step = site.inputs[0].tensor.shape[2:]
    one, two = (fixed(site, layer.output_shape(step)) for layer in (op.forward, op.backward))
    if op.merge is None:
        return [
            output_value(site, op.forward, layout, direction.output, shape=shape, output=index)
            for index, (direction, shape) in enumerate(zip(directions, (one, two), strict=True))
        ]
    if op.merge == "concat" and both is not None:
        return [output_value(site, op.forward, layout, both, shape=one, directions=2)]

    @cache
    def merged() -> ir.Value:
        both = [direction.output() for direction in directions]
        if op.merge == "concat":
            return site.scope("Concat", *both, axis=-1)
        return site.scope(MERGES[str(op.merge)], *both)

    total = one[-1] + two[-1] if op.merge == "concat" else one[-1]
    return [output_value(site, op.forward, layout, merged, shape=(*one[:-1], total))]


def _directions(
    op: Bidirectional, site: Site, layout: StepLayout, initial: InitialStates
) -> tuple[Deferred | None, DirectionOutputs, DirectionOutputs]:
    """What writes both as ``(T', 2, N', H)`` or ``(2, N', H)``, if one node does, and what writes either."""
    one, two = op.forward, op.backward
    if (
        isinstance(one, Cell)
        and isinstance(two, Cell)
        and go_together(one, two)
        and why_looped(one, site, layout) is None
    ):
        return _one_node(one, two, site, layout, initial)
    second = write_direction(site, two, layout, initial, first=len(one.state_sizes))
    return None, write_direction(site, one, layout, initial), second


def _one_node(
    one: Cell, two: Cell, site: Site, layout: StepLayout, initial: InitialStates
) -> tuple[Deferred, DirectionOutputs, DirectionOutputs]:
    scope, every, count = site.scope, one.return_sequences, len(one.states)

    @cache
    def node() -> NodeOutputs:
        wanted = every, one.return_state or not every, *(one.return_state for _ in one.states[1:])
        x = site.inputs[0].steps(layout)
        given = [_stacked(site, initial, state, count) for state in range(count)] if initial.given else []
        return lowered(site, [one, two], "bidirectional", layout, x, given, wanted)

    @cache
    def parts(index: int) -> list[ir.Value]:
        """The two directions of an output of the node."""
        value = node()[index]
        assert value is not None
        if index == 0:
            return layout.directions(scope, value, 2, one.hidden_size)
        split = scope.several("Split", value, wanted=(True, True), axis=0, num_outputs=2)
        return [scope("Squeeze", part, [0]) for part in split]

    def both() -> ir.Value:
        value = node()[0 if every else 1]
        assert value is not None
        return value

    def direction(number: int) -> DirectionOutputs:
        indices = range(1, 1 + count) if one.return_state else ()
        states = [lambda index=index: parts(index)[number] for index in indices]
        return DirectionOutputs(lambda: parts(0 if every else 1)[number], states)

    return both, direction(0), direction(1)


def _stacked(site: Site, initial: InitialStates, state: int, count: int) -> ir.Value:
    """One initial state of both directions, ``(2, N', H)``."""
    pair = [site.scope("Unsqueeze", initial(state + number * count), [0]) for number in (0, 1)]
    return site.scope("Concat", *pair, axis=0)
