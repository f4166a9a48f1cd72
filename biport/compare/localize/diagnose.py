"""The finding for one node: where in it, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from biport.compare.finding import Cause, Finding, Place
from biport.compare.localize import gates
from biport.compare.localize.causes import (
    Arrays,
    Masks,
    alone,
    compute,
    mistakes_that_give,
    other_settings,
    other_weights,
)
from biport.compare.localize.oracle import Oracle, State
from biport.compare.localize.positions import difference, first, seen_walks, unfolded_walks
from biport.compare.localize.traced import Traced, Values
from biport.errors import BiportError
from biport.graph import Node
from biport.ops import Bidirectional, Cell, Op, Recurrent

AllValues = Mapping[str, Values]


def blame(
    oracle: Oracle,
    form: str,
    node: Node,
    hidden: Sequence[Node],
    states: Mapping[str, State],
    values: AllValues,
    traced: Traced,
    notes: Sequence[str],
) -> Finding:
    """What there is to say about ``node``.

    Args:
        hidden: the nodes before it that could not be seen.
        states: what is known of each value.
        values: the form's, by case.
    """
    output = next(name for name in node.outputs if states[name] is State.PARTS)
    asked = _Asked(oracle, node, output, values, traced)
    place, worked_out = asked.place()
    if hidden:
        known = {one.name: _held(one.op, one.name, traced) for one in (*hidden, node)}
        cause = known.pop(node.name)
        causes = {name: found for name, found in known.items() if found.text}
    else:
        cause, causes = asked.cause(), {}
    return Finding(
        form=form,
        node=node.name,
        kind=node.op.kind,
        output=output,
        suspects=[one.name for one in hidden],
        place=place,
        worked_out=worked_out and not hidden,
        cause=cause,
        causes=causes,
        notes=[*notes, *_shapes(oracle, output, values)],
    )


def _shapes(oracle: Oracle, output: str, values: AllValues) -> list[str]:
    for case, found in values.items():
        wanted = oracle.exact[case][output].shape
        if output in found and found[output].shape != wanted:
            return [f"it gives shape {found[output].shape} instead of {wanted}"]
    return []


def _held(op: Op, name: str, traced: Traced) -> Cause:
    """What the form holds otherwise for a node."""
    remarks = list(traced.remarks.get(name, ()))
    if name not in traced.ops:
        return Cause(settings=remarks)
    own = traced.ops[name]
    settings = other_settings(own, op)
    return Cause(other_weights(own, op) if own.kind == op.kind else {}, [*settings, *remarks])


class _Asked:
    """One node under questioning.

    Args:
        output: its value that parts.
    """

    def __init__(self, oracle: Oracle, node: Node, output: str, values: AllValues, traced: Traced) -> None:
        self.oracle, self.node, self.output, self.traced = oracle, node, output, traced
        self.values = {case: found for case, found in values.items() if output in found}
        self.allowed = oracle.allowed(output) or 0.0
        self.position = node.outputs.index(output)
        held = traced.ops.get(node.name)
        # In the oracle's own dtype, so that nothing but the weights can make a difference.
        self.own = None if held is None else held.astype("float64")
        # The smallest first: what does not fit there need not be tried anywhere else.
        self.cases = sorted(self.values, key=lambda case: (not self._parts(case), self._size(case)))

    def _size(self, case: str) -> int:
        return self.oracle.exact[case][self.output].size

    def _parts(self, case: str) -> bool:
        exact = self.oracle.exact[case][self.output]
        return not self.oracle.agrees(self.output, case, self.values[case][self.output], exact)

    def _sources(self, case: str) -> tuple[Arrays, Masks]:
        return self.oracle.sources(self.node, case)

    def _agrees(self, case: str, made: Sequence[np.ndarray]) -> bool:
        """Whether ``made`` is what the form gave, as far as that was seen."""
        found = self.values[case]
        return all(
            self.oracle.agrees(name, case, found[name], self._seen(case, name, array))
            for name, array in zip(self.node.outputs, made, strict=True)
            if name in found
        )

    def _seen(self, case: str, name: str, array: np.ndarray) -> np.ndarray:
        """``array`` with the oracle's numbers where the form's could not be seen."""
        valid = self.traced.valid.get(case, {}).get(name)
        if valid is None or array.ndim < 2 or valid.shape != array.shape[:2]:
            return array
        place = valid.reshape(*valid.shape, *[1] * (array.ndim - 2))
        return np.where(place, array, self.oracle.exact[case][name])

    def place(self) -> tuple[Place | None, bool]:
        """Where the output first parts, and whether that had to be worked out from the form's weights."""
        op = self.node.op
        seen = {case: list(self._walks(case)) for case in self.values}
        found = first(seen, self.allowed)
        vague = found is not None and (found.step is None or not found.half)
        merged = isinstance(op, Bidirectional) and op.merge not in ("concat", None)
        stepless = isinstance(op, Recurrent | Bidirectional) and found is not None and found.step is None
        if not vague or not (merged or stepless) or not self._is_own():
            return found, False
        assert self.own is not None
        steps = {}
        for case in self.values:
            inputs, masks = self._sources(case)
            steps[case] = list(unfolded_walks(op, self.own, inputs, masks[0], masks[0]))
        worked_out = first(steps, self.allowed)
        return (found, False) if worked_out is None else (worked_out, True)

    def _walks(self, case: str):
        exact, found = self.oracle.exact[case][self.output], self.values[case][self.output]
        mask = self._sources(case)[1][0] if self.node.masks else None
        return seen_walks(self.node.op, self.position, exact, found, mask)

    def _is_own(self) -> bool:
        """Whether the form gave what the op it holds gives."""
        if self.own is None or self.own.kind != self.node.op.kind:
            return False
        return all(self._agrees(case, self._computed(self.own, case)) for case in self.cases)

    def _computed(self, op: Op, case: str) -> tuple[np.ndarray, ...]:
        inputs, masks = self._sources(case)
        return compute(op, inputs, masks)

    def cause(self) -> Cause:
        """Why."""
        if self._amplified():
            return Cause(own=True)
        held = _held(self.node.op, self.node.name, self.traced)
        if held.text and self._is_own():
            return Cause(held.weights, held.settings, explained=True)
        op = self.own if self.own is not None and self.own.kind == self.node.op.kind else self.node.op
        try:
            graph = alone(self.node, op, self.oracle.graph.tensors)
            variants = mistakes_that_give(graph, self.cases, self._agrees, self.oracle.exact.__getitem__)
        except BiportError:
            variants = []  # What the form has instead of the op does not go here.
        explained = False if held.weights else None
        tested = None if variants or held.weights else self._gates()
        return Cause(held.weights, held.settings, variants, tested, explained)

    def _amplified(self) -> bool:
        """Whether the oracle's op gives the same from the inputs that the form had."""
        for case in self.cases:
            found, (exact, masks) = self.values[case], self._sources(case)
            if not all(name in found for name in self.node.inputs):
                given = [found.get(name, array) for name, array in zip(self.node.inputs, exact, strict=True)]
            else:
                given = [found[name] for name in self.node.inputs]
            given = [array.astype("float64") if array.dtype.kind == "f" else array for array in given]
            if any(one.shape != two.shape for one, two in zip(given, exact, strict=True)):
                return False
            if not self._agrees(case, compute(self.node.op, given, masks)):
                return False
        return True

    def _gates(self) -> list[str] | None:
        """The gates each of which alone could explain the first wrong steps."""
        op = self.node.op
        if self.position or len(self.node.inputs) > 1:
            return None
        place, _ = self.place()
        if place is None or place.step is None or place.padded:
            return None
        cell = getattr(op, place.half) if isinstance(op, Bidirectional) and place.half else op
        if not isinstance(cell, Cell):
            return None
        return gates.suspects(cell, self._first_steps(place.half, cell), self.allowed)

    def _first_steps(self, half: str, cell: Cell) -> list:
        found = []
        for case in self.values:
            (x, *_), _ = self._sources(case)
            for part in self._walks(case):
                if part.half != half:
                    continue
                back = cell.reverse
                off = np.max(difference(part.exact, part.found), axis=-1) > self.allowed
                for row in np.flatnonzero(np.max(off, axis=1)):
                    at = int(off[row].argmax())
                    valid = None if part.mask is None else part.mask[row]
                    if valid is None or valid[at]:
                        steps = x[row, ::-1] if back else x[row]
                        found.append((steps, valid, part.found[row], at))
        return found
