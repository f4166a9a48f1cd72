"""What the recurrent ops share: one direction over the step form, and the forms of what it gives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TypeAlias

import onnx_ir as ir

from biport.dims import Dim
from biport.ops import Cell, Recurrent, StackedRNN
from export.onnx.builder import Scope
from export.onnx.lazy_value import LazyValue, StepForm
from export.onnx.site import Site
from export.onnx.step_layout import StepLayout
from export.recurrent.body import cell_scanned
from export.recurrent.lowering import NodeOutputs, lowered, why_looped

Deferred: TypeAlias = Callable[[], ir.Value]
"""Writes a value when it is first asked for."""


@dataclass(frozen=True)
class DirectionOutputs:
    """What one direction gives, in step form.

    Args:
        output: every step's, ``(T', N', H)``, or without ``return_sequences`` the last one's, ``(N', H)``.
        states: the final states, ``(N', H)`` each; empty where the op does not give them.
    """

    output: Deferred
    states: Sequence[Deferred]


class InitialStates:
    """The initial states ``(N', H)`` of a node, written once each; none of them where they are zeros."""

    def __init__(self, site: Site, layout: StepLayout, states: Sequence[LazyValue]) -> None:
        self._site = site
        self._layout = layout
        self._states = states
        self._written: dict[int, ir.Value] = {}
        self.given = bool(states)

    def __call__(self, index: int) -> ir.Value | None:
        """The state at ``index``, counted over all cells and directions."""
        if not self.given:
            return None
        if index not in self._written:
            state = self._states[index]
            rank = len(state.tensor.shape)
            self._written[index] = self._layout.sizes.pad_batch(self._site.scope, state.value(), rank)
        return self._written[index]


def write_direction(
    site: Site, op: Recurrent, layout: StepLayout, initial: InitialStates, first: int = 0
) -> DirectionOutputs:
    """One direction: a node, or for a stack a chain of them.

    Args:
        first: the index of the op's first initial state.
    """
    cells = op.cells if isinstance(op, StackedRNN) else (op,)

    @cache
    def nodes() -> tuple[ir.Value, list[ir.Value]]:
        x = site.inputs[0].steps(layout)
        states: list[ir.Value] = []
        at = first
        for number, cell in enumerate(cells, 1):
            assert isinstance(cell, Cell)
            every = number < len(cells) or op.return_sequences
            wanted = every, op.return_state or not every, *(op.return_state for _ in cell.states[1:])
            given = [initial(at + state) for state in range(len(cell.states))]
            at += len(cell.states)
            output, *final = _node(site, cell, op.reverse, layout, x, given, wanted)
            y = final[0] if output is None else output
            assert y is not None
            x = y
            states += [state for state in final if state is not None]
        return x, states

    count = len(op.state_sizes) if op.return_state else 0
    states = [lambda index=index: nodes()[1][index] for index in range(count)]
    return DirectionOutputs(lambda: nodes()[0], states)


def _node(
    site: Site,
    cell: Cell,
    reverse: bool,
    layout: StepLayout,
    x: ir.Value,
    initial: Sequence[ir.Value | None],
    wanted: Sequence[bool],
) -> NodeOutputs:
    scope = site.scope
    reason = why_looped(cell, site, layout)
    if reason is not None:
        scope.builder.notes.append(f"{site.owner}: {reason}; written as a Scan")
        return cell_scanned(site, cell, reverse, layout, x, layout.valid(scope), initial, wanted)
    direction = "reverse" if reverse else "forward"
    given = [scope("Unsqueeze", one, [0]) for one in initial if one is not None]
    output, *states = lowered(site, [cell], direction, layout, x, given, wanted)
    return [_squeezed(scope, output, 1), *(_squeezed(scope, state, 0) for state in states)]


def _squeezed(scope: Scope, value: ir.Value | None, axis: int) -> ir.Value | None:
    return None if value is None else scope("Squeeze", value, [axis])


def output_value(
    site: Site,
    op: Recurrent,
    layout: StepLayout,
    node: Deferred,
    *,
    shape: Sequence[int],
    directions: int = 1,
    reverse: bool = False,
    output: int = 0,
) -> LazyValue:
    """One recurrent output.

    Args:
        op: the layer, or the forward one of two: its rules are those of both.
        node: writes the node; ``(T', D, N', H)`` or ``(D, N', H)``, without D where directions are merged.
        shape: of a step behind the rows, of one direction: ``(H,)``, or more sizes.
        directions: how many directions are still to be laid side by side.
        reverse: the output is in the order of a backward layer, last step first.
        output: which output of the op this is.
    """
    scope = site.scope
    if not op.return_sequences:

        def last() -> ir.Value:
            y = _beside(scope, node(), directions, shape[-1], batch=0)
            rank = len(shape)
            return layout.last(scope, y, zero=op.zero_output_for_mask, reverse=reverse, rank=rank)

        return site.lazy(last, output=output)

    def leave() -> ir.Value:
        carry = not op.zero_output_for_mask
        return layout.leave(scope, node(), shape, directions, carry=carry, reverse=reverse)

    def stay(wanted: StepForm) -> ir.Value | None:
        # A backward layer's order is not time order, and the next layer's mask is in time order.
        if wanted is not layout or reverse:
            return None
        return _beside(scope, node(), directions, shape[-1], batch=1)

    return site.lazy(leave, stay, site.inputs[0], output=output)


def state_values(
    site: Site,
    layout: StepLayout,
    states: Sequence[Deferred],
    initial: InitialStates,
    *,
    first: int,
    shapes: Sequence[Sequence[Dim]] = (),
) -> list[LazyValue]:
    """The final states, of which ``first`` is the first output of the op; ``shapes`` if not ``(N', H)``."""

    def write(index: int, state: Deferred) -> ir.Value:
        rank = len(shapes[index]) if shapes else 1
        return layout.state(site.scope, state(), initial(index), rank)

    return [
        site.lazy(lambda index=index, state=state: write(index, state), output=first + index)
        for index, state in enumerate(states)
    ]


def _beside(scope: Scope, y: ir.Value, directions: int, width: int, batch: int) -> ir.Value:
    """Lay directions side by side: ``(D, N', H)`` to ``(N', D·H)``, with ``batch`` axes before D."""
    if directions == 1:
        return y
    axes = list(range(batch))
    y = scope("Transpose", y, perm=[*axes, batch + 1, batch, batch + 2])
    return scope("Reshape", y, [0] * (batch + 1) + [directions * width])
