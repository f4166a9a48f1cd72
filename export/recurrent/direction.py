"""What the recurrent ops share: one direction over the step form, and the forms of what it gives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TypeAlias

import onnx_ir as ir

from biport.dims import Dim
from biport.errors import UnsupportedError
from biport.ops import Cell, ConvolutionalLSTM, Recurrent, Scan, StackedRNN
from biport.rewrite.steps import scan_of
from export.onnx.builder import Scope
from export.onnx.lazy_value import LazyValue, StepForm
from export.onnx.site import Site
from export.onnx.step_layout import StepLayout
from export.recurrent.body import cell_scanned, last_state, scanned
from export.recurrent.lowering import NodeOutputs, layout_of, lowered, projects_ahead, why_looped

Deferred: TypeAlias = Callable[[], ir.Value]
"""Writes a value when it is first asked for."""


OVER_FEATURES = frozenset({"log_softmax", "softmax"})
"""Activations that look at all features, and not at each number by itself."""


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


def one_direction(op: Recurrent, site: Site) -> tuple[LazyValue, ...]:
    """A layer of one direction: its output and, where it gives them, the final states."""
    layout = layout_of(op, site)
    initial = InitialStates(site, layout, site.inputs[1:])
    step = site.inputs[0].tensor.shape[2:]
    shape, states = fixed(site, op.output_shape(step)), op.state_shapes(step)
    direction = write_direction(site, op, layout, initial)
    output = output_value(site, op, layout, direction.output, shape=shape, reverse=op.reverse)
    return output, *state_values(site, layout, direction.states, initial, first=1, shapes=states)


def write_direction(
    site: Site, op: Recurrent, layout: StepLayout, initial: InitialStates, first: int = 0
) -> DirectionOutputs:
    """One direction: a node, or for a stack a chain of them.

    Args:
        first: the index of the op's first initial state.
    """
    if isinstance(op, ConvolutionalLSTM):
        return _convolutional(site, op, layout, initial, first)
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


def write_scan_direction(
    site: Site,
    op: Scan,
    layout: StepLayout,
    initial: Callable[[int], ir.Value | None],
    first: int = 0,
    constants: Sequence[LazyValue] = (),
) -> DirectionOutputs:
    """One direction of a step that is a graph."""
    count = op.state_count

    @cache
    def node() -> list[ir.Value | None]:
        given = [initial(first + index) for index in range(count)]
        x, valid, wanted = site.inputs[0].steps(layout), layout.valid(site.scope), [True] * count
        return scanned(site, op, layout, x, valid, given, (op.return_sequences, *wanted), constants)

    def result(index: int) -> ir.Value:
        value = node()[index]
        assert value is not None
        return value

    def output() -> ir.Value:
        at = last_state(op)
        return result(0 if op.return_sequences else at if at == -1 else 1 + at)

    finals = [lambda index=index: result(1 + index) for index in range(count if op.return_state else 0)]
    return DirectionOutputs(output, finals)


def _convolutional(
    site: Site, op: ConvolutionalLSTM, layout: StepLayout, initial: InitialStates, first: int
) -> DirectionOutputs:
    """A loop that has the features of the states in front, as ``Conv`` wants them: it transposes nothing."""
    step, scope, rank = site.inputs[0].tensor.shape[2:], site.scope, op.rank
    if not OVER_FEATURES.isdisjoint((op.activation, op.recurrent_activation)):
        return write_scan_direction(site, scan_of(op, step), layout, initial, first)

    def turned(index: int) -> ir.Value | None:
        state = initial(index)
        return None if state is None else scope("Transpose", state, perm=[0, rank, *range(1, rank)])

    def back(value: Deferred, lead: int) -> Deferred:
        perm = [*range(lead), *range(lead + 1, lead + rank), lead]
        return lambda: scope("Transpose", value(), perm=perm)

    scan = scan_of(op, step, channels_first=True)
    direction = write_scan_direction(site, scan, layout, turned, first)
    output = back(direction.output, 2 if op.return_sequences else 1)
    return DirectionOutputs(output, [back(state, 1) for state in direction.states])


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
        valid, ahead = layout.valid(scope), projects_ahead(cell, site)
        return cell_scanned(site, cell, reverse, layout, x, valid, initial, wanted, ahead)
    direction = "reverse" if reverse else "forward"
    given = [scope("Unsqueeze", one, [0]) for one in initial if one is not None]
    output, *states = lowered(site, [cell], direction, layout, x, given, wanted)
    every = None if output is None else layout.directions(scope, output, 1, cell.hidden_size)[0]
    return [every, *(None if state is None else scope("Squeeze", state, [0]) for state in states)]


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
            y = _side_by_side(scope, node(), directions, shape[-1])
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
        return node() if directions == 1 else layout.beside(scope, node(), directions, shape[-1])

    return site.lazy(leave, stay, site.inputs[0], output=output)


def fixed(site: Site, shape: Sequence[Dim]) -> tuple[int, ...]:
    """The sizes behind the steps as numbers.

    Raises:
        UnsupportedError: one of them varies.
    """
    numbers = tuple(size for size in shape if isinstance(size, int))
    if len(numbers) < len(shape):
        given = ", ".join(map(str, shape))
        raise UnsupportedError(site.owner, "size of a step", f"({given})", "fixed sizes behind the steps")
    return numbers


def state_values(
    site: Site,
    layout: StepLayout,
    states: Sequence[Deferred],
    initial: InitialStates,
    *,
    first: int,
    shapes: Sequence[Sequence[Dim]],
) -> list[LazyValue]:
    """The final states, of which ``first`` is the first output of the op; ``shapes`` are behind the rows."""

    def write(index: int, state: Deferred) -> ir.Value:
        return layout.state(site.scope, state(), initial(index), len(shapes[index]))

    return [
        site.lazy(lambda index=index, state=state: write(index, state), output=first + index)
        for index, state in enumerate(states)
    ]


def _side_by_side(scope: Scope, y: ir.Value, directions: int, width: int) -> ir.Value:
    """The last outputs or states of both directions, ``(D, N', H)`` to ``(N', D·H)``."""
    if directions == 1:
        return y
    return scope("Reshape", scope("Transpose", y, perm=[1, 0, 2]), [0, directions * width])
