"""The finding for one node: where in it, and why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from biport.compare.finding import Cause, Finding, Position
from biport.compare.localize.causes import (
    Arrays,
    Masks,
    alone,
    compute,
    mistakes_that_give,
    other_settings,
    other_weights,
)
from biport.compare.localize.gates import FirstStep, possible_gates
from biport.compare.localize.oracle import Oracle, State
from biport.compare.localize.positions import Scan, difference, first_difference, output_scans, step_scans
from biport.compare.localize.traced import Traced, Values, seen
from biport.errors import BiportError
from biport.graph import Node
from biport.ops import Bidirectional, Cell, Op, Recurrent, same_bits

AllValues = Mapping[str, Values]


def diagnose(
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
        oracle: what every value should be.
        form: its name.
        node: the first node that differs.
        hidden: the nodes before it that could not be seen.
        states: what is known of each value.
        values: the form's, by case.
        traced: what else is known of the form.
        notes: what the finding says in any case.
    """
    output = next(name for name in node.outputs if states[name] is State.DIFFERS)
    diagnosis = _NodeDiagnosis(oracle, node, output, values, traced)
    position, worked_out = diagnosis.position()
    if hidden:
        by_node = {one.name: _own_cause(oracle, one, traced) for one in (*hidden, node)}
        cause = by_node.pop(node.name)
        causes = {name: other for name, other in by_node.items() if other.text}
    else:
        cause, causes = diagnosis.cause(), {}
    return Finding(
        form=form,
        node=node.name,
        kind=node.op.kind,
        output=output,
        suspects=[one.name for one in hidden],
        position=position,
        worked_out=worked_out and not hidden,
        cause=cause,
        causes=causes,
        notes=[*notes, *_shapes(oracle, output, values)],
    )


def _shapes(oracle: Oracle, output: str, values: AllValues) -> list[str]:
    for case, own in values.items():
        wanted = oracle.exact[case][output].shape
        if output in own and own[output].shape != wanted:
            return [f"it gives shape {own[output].shape} instead of {wanted}"]
    return []


def _own_cause(oracle: Oracle, node: Node, traced: Traced) -> Cause:
    """What the form itself says that it has otherwise for a node."""
    remarks = list(traced.remarks.get(node.name, ()))
    if node.name not in traced.ops:
        return Cause(settings=remarks)
    # In the oracle's own dtype, which is a setting of some.
    own = traced.ops[node.name].astype("float64")
    settings = other_settings(own, node.op)
    if own.kind == node.op.kind and settings and _computes_the_same(oracle, node, own):
        settings = []  # An axis counted from the other end.
    return Cause(
        other_weights(traced.ops[node.name], node.op) if own.kind == node.op.kind else {},
        [*settings, *remarks],
    )


def _computes_the_same(oracle: Oracle, node: Node, own: Op) -> bool:
    """Whether the form's own op for a node gives the oracle's numbers, bit for bit."""
    for case, exact in oracle.exact.items():
        try:
            outputs = compute(own, *oracle.sources(node, case), oracle.sizes[case])
        except (BiportError, ValueError):
            return False
        if not all(map(same_bits, outputs, (exact[name] for name in node.outputs))):
            return False
    return True


class _NodeDiagnosis:
    """One node whose output differs: what the oracle and the form have there.

    Args:
        oracle: what every value should be.
        node: the node.
        output: its value that differs.
        values: the form's, by case.
        traced: what else is known of the form.
    """

    def __init__(self, oracle: Oracle, node: Node, output: str, values: AllValues, traced: Traced) -> None:
        self.oracle, self.node, self.output, self.traced = oracle, node, output, traced
        self.values = {case: own for case, own in values.items() if output in own}
        self.allowed = oracle.allowed(output) or 0.0
        self.output_index = node.outputs.index(output)
        own = traced.ops.get(node.name)
        # In the oracle's own dtype, so that nothing but the weights can make a difference.
        self.own = None if own is None else own.astype("float64")
        # The smallest first: what does not fit there need not be tried anywhere else.
        self.cases = sorted(self.values, key=lambda case: (not self._differs(case), self._size(case)))

    def _size(self, case: str) -> int:
        return self.oracle.exact[case][self.output].size

    def _differs(self, case: str) -> bool:
        exact = self.oracle.exact[case][self.output]
        return not self.oracle.agrees(self.output, case, self.values[case][self.output], exact)

    def _sources(self, case: str) -> tuple[Arrays, Masks]:
        return self.oracle.sources(self.node, case)

    def _agrees(self, case: str, outputs: Sequence[np.ndarray]) -> bool:
        """Whether ``outputs`` are what the form gave, as far as that was seen."""
        own = self.values[case]
        return all(
            self.oracle.agrees(name, case, own[name], self._seen(case, name, array))
            for name, array in zip(self.node.outputs, outputs, strict=True)
            if name in own
        )

    def _seen(self, case: str, name: str, array: np.ndarray) -> np.ndarray:
        """``array`` with the oracle's numbers where the form's could not be seen."""
        valid = self.traced.valid.get(case, {}).get(name)
        if valid is None or array.ndim < 2 or valid.shape != array.shape[:2]:
            return array
        return seen(array, self.oracle.exact[case][name], valid)

    def position(self) -> tuple[Position | None, bool]:
        """Where the output first differs, and whether that had to be worked out from the form's weights."""
        op = self.node.op
        scans = {case: list(self._scans(case)) for case in self.values}
        position = first_difference(scans, self.allowed)
        vague = position is not None and (position.step is None or not position.direction)
        merged = isinstance(op, Bidirectional) and op.merge not in ("concat", None)
        stepless = (
            isinstance(op, Recurrent | Bidirectional) and position is not None and position.step is None
        )
        if not vague or not (merged or stepless) or not self._is_own():
            return position, False
        assert self.own is not None
        steps = {}
        for case in self.values:
            inputs, masks = self._sources(case)
            steps[case] = list(step_scans(op, self.own, inputs, masks[0]))
        worked_out = first_difference(steps, self.allowed)
        return (position, False) if worked_out is None else (worked_out, True)

    def _scans(self, case: str) -> Iterator[Scan]:
        exact, array = self.oracle.exact[case][self.output], self.values[case][self.output]
        mask = self._sources(case)[1][0] if self.node.masks else None
        return output_scans(self.node.op, self.output_index, exact, array, mask)

    def _is_own(self) -> bool:
        """Whether the form gave what the op that it has gives."""
        if self.own is None or self.own.kind != self.node.op.kind:
            return False
        return all(self._agrees(case, self._computed(self.own, case)) for case in self.cases)

    def _computed(self, op: Op, case: str) -> tuple[np.ndarray, ...]:
        inputs, masks = self._sources(case)
        return compute(op, inputs, masks, self.oracle.sizes[case])

    def cause(self) -> Cause:
        """Why."""
        if self._amplified():
            return Cause(own=True)
        own = _own_cause(self.oracle, self.node, self.traced)
        if own.text and self._is_own():
            return Cause(own.weights, own.settings, explained=True)
        variants = self._variants()
        explained = False if own.weights else None
        tested = None if variants or own.weights else self._gates()
        return Cause(own.weights, own.settings, variants, tested, explained)

    def _variants(self) -> list[str]:
        """The known mistakes that give what the form gave."""
        op = self.own if self.own is not None and self.own.kind == self.node.op.kind else self.node.op
        try:
            graph = alone(self.node, op, self.oracle.graph.tensors)
        except BiportError:
            return []  # What the form has in place of the op does not go here.
        exact, sizes = self.oracle.exact.__getitem__, self.oracle.sizes.__getitem__
        return mistakes_that_give(graph, self.cases, self._agrees, exact, sizes)

    def _amplified(self) -> bool:
        """Whether the oracle's op gives the same from the inputs that the form had."""
        for case in self.cases:
            own, (exact, masks) = self.values[case], self._sources(case)
            given = [own.get(name, array) for name, array in zip(self.node.inputs, exact, strict=True)]
            given = [array.astype("float64") if array.dtype.kind == "f" else array for array in given]
            if any(one.shape != two.shape for one, two in zip(given, exact, strict=True)):
                return False
            if not self._agrees(case, compute(self.node.op, given, masks, self.oracle.sizes[case])):
                return False
        return True

    def _gates(self) -> list[str] | None:
        """The gates each of which alone could explain the first wrong steps."""
        op = self.node.op
        if self.output_index or len(self.node.inputs) > 1:
            return None
        position, _ = self.position()
        if position is None or position.step is None or position.padded:
            return None
        direction = position.direction
        cell = getattr(op, direction) if isinstance(op, Bidirectional) and direction else op
        if not isinstance(cell, Cell):
            return None
        return possible_gates(cell, self._first_steps(direction, cell), self.allowed)

    def _first_steps(self, direction: str, cell: Cell) -> list[FirstStep]:
        steps = []
        for case in self.values:
            (x, *_), _ = self._sources(case)
            for part in self._scans(case):
                if part.direction != direction:
                    continue
                off = np.max(difference(part.exact, part.array), axis=-1) > self.allowed
                for row in np.flatnonzero(np.max(off, axis=1)):
                    at = int(off[row].argmax())
                    valid = None if part.mask is None else part.mask[row]
                    if valid is None or valid[at]:
                        scanned = x[row, ::-1] if cell.reverse else x[row]
                        steps.append((scanned, valid, part.array[row], at))
        return steps
