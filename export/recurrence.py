"""What the recurrent ops share: a walk over the step form, and the forms of what it gives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import onnx_ir as ir

from biport.ops import Cell, Recurrent, StackedRNN
from export.builder import Scope
from export.flow import Flow, Site
from export.layout import Layout
from export.lowering import walk, why_looped
from export.scan import scanned

Value = Callable[[], ir.Value]
"""Writes a value when it is first asked for."""


@dataclass(frozen=True)
class Walk:
    """What one direction gives, in step form.

    Args:
        output: every step's, ``(T', N', H)``, or without ``return_sequences`` the last one's, ``(N', H)``.
        states: the final states, ``(N', H)`` each; empty where the op does not give them.
    """

    output: Value
    states: Sequence[Value]


def write_recurrent(op: Recurrent, site: Site) -> tuple[Flow, ...]:
    """``(N, T, I)`` and initial states, if given, to ``(N, T, H)`` or ``(N, H)``, and the final states."""
    layout = site.layouts.layout(site.inputs[0], site.masks[0], site.name)
    initial = InitialStates(site, layout)
    walk = walk_once(site, op, layout, initial)
    width = op.sizes[1]
    output = output_flow(site, op, layout, walk.output, width=width, reverse=op.reverse)
    return output, *state_flows(site, layout, walk.states, initial, first=1)


class InitialStates:
    """The initial states ``(N', H)`` of a node, written once each; none of them where they are zeros."""

    def __init__(self, site: Site, layout: Layout) -> None:
        self._site = site
        self._layout = layout
        self._made: dict[int, ir.Value] = {}
        self.given = len(site.inputs) > 1

    def __call__(self, place: int) -> ir.Value | None:
        """The state at ``place``, counted over all cells and directions."""
        if not self.given:
            return None
        if place not in self._made:
            state = self._site.inputs[1 + place].value()
            self._made[place] = self._layout.sizes.pad_batch(self._site.scope, state)
        return self._made[place]


def walk_once(site: Site, op: Recurrent, layout: Layout, initial: InitialStates, first: int = 0) -> Walk:
    """One direction: a node, or for a stack a chain of them.

    Args:
        first: the place of the op's first initial state.
    """
    cells = op.cells if isinstance(op, StackedRNN) else (op,)

    @cache
    def walked() -> tuple[ir.Value, list[ir.Value]]:
        x = site.inputs[0].steps(layout)
        states: list[ir.Value] = []
        at = first
        for place, cell in enumerate(cells, 1):
            assert isinstance(cell, Cell)
            every = place < len(cells) or op.return_sequences
            wanted = every, op.return_state or not every, *(op.return_state for _ in cell.states[1:])
            given = [initial(at + number) for number in range(len(cell.states))]
            at += len(cell.states)
            output, *final = _node(site, cell, op.reverse, layout, x, given, wanted)
            made = final[0] if output is None else output
            assert made is not None
            x = made
            states += [state for state in final if state is not None]
        return x, states

    count = len(op.state_sizes) if op.return_state else 0
    return Walk(lambda: walked()[0], [lambda place=place: walked()[1][place] for place in range(count)])


def _node(
    site: Site,
    cell: Cell,
    reverse: bool,
    layout: Layout,
    x: ir.Value,
    initial: Sequence[ir.Value | None],
    wanted: Sequence[bool],
) -> list[ir.Value | None]:
    scope = site.scope
    reason = why_looped(cell, site.lowering, layout)
    if reason is not None:
        scope.builder.notes.append(f"{site.owner}: {reason}; written as a Scan")
        zeros = [layout.sizes.zeros(scope, cell.hidden_size) if one is None else one for one in initial]
        return scanned(scope, cell, reverse, x, layout.valid(scope), zeros, wanted)
    direction = "reverse" if reverse else "forward"
    given = [scope("Unsqueeze", one, [0]) for one in initial if one is not None]
    output, *states = walk(scope, site.lowering, [cell], direction, layout, x, given, wanted)
    return [_squeezed(scope, output, 1), *(_squeezed(scope, state, 0) for state in states)]


def _squeezed(scope: Scope, value: ir.Value | None, axis: int) -> ir.Value | None:
    return None if value is None else scope("Squeeze", value, [axis])


def output_flow(
    site: Site,
    op: Recurrent,
    layout: Layout,
    walk: Value,
    *,
    width: int,
    directions: int = 1,
    reverse: bool = False,
    output: int = 0,
) -> Flow:
    """The flow of one recurrent output.

    Args:
        op: the layer, or the forward half of two: its rules are those of both.
        walk: writes the node; ``(T', D, N', H)`` or ``(D, N', H)``, without D where the halves are merged.
        width: H of one direction.
        directions: how many directions are still to be laid side by side.
        reverse: the output is in walking order, last step first.
        output: which output of the op this is.
    """
    scope = site.scope
    if not op.return_sequences:

        def final() -> ir.Value:
            y = _beside(scope, walk(), directions, width, batch=0)
            initial = len(site.inputs) > 1
            return layout.last(scope, y, zero=op.zero_output_for_mask, reverse=reverse, initial=initial)

        return site.flow(final, output=output)

    def leave() -> ir.Value:
        hold = not op.zero_output_for_mask
        return layout.leave(scope, walk(), width, directions, hold=hold, reverse=reverse)

    def stay(wanted: Layout) -> ir.Value | None:
        # Walking order is not time order, and the next layer's mask is in time order.
        if wanted is not layout or reverse:
            return None
        return _beside(scope, walk(), directions, width, batch=1)

    return site.flow(leave, stay, site.inputs[0], output=output)


def state_flows(
    site: Site, layout: Layout, states: Sequence[Value], initial: InitialStates, *, first: int
) -> list[Flow]:
    """The flows of the final states, of which ``first`` is the first output of the op."""

    def make(place: int, state: Value) -> ir.Value:
        return layout.state(site.scope, state(), initial(place))

    return [
        site.flow(lambda place=place, state=state: make(place, state), output=first + place)
        for place, state in enumerate(states)
    ]


def _beside(scope: Scope, y: ir.Value, directions: int, width: int, batch: int) -> ir.Value:
    """Lay directions side by side: ``(D, N', H)`` to ``(N', D·H)``, with ``batch`` axes before D."""
    if directions == 1:
        return y
    axes = list(range(batch))
    y = scope("Transpose", y, perm=[*axes, batch + 1, batch, batch + 2])
    return scope("Reshape", y, [0] * (batch + 1) + [directions * width])
