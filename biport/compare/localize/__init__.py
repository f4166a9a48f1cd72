"""Where a form first differs from the oracle: the node, and in it the direction, step, unit and gate.

Every value of the form that can be seen is compared with the oracle's. The faulty node is the one whose
inputs agree and whose output does not; one whose inputs differ already is not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from biport.compare.finding import Cause, Finding, Position
from biport.compare.localize.alignment import align
from biport.compare.localize.causes import compute
from biport.compare.localize.diagnose import diagnose
from biport.compare.localize.oracle import Oracle, State
from biport.compare.localize.traced import Cases, Traced, Values, seen
from biport.graph import Graph, Node

__all__ = ["Cause", "Finding", "Oracle", "Position", "Traced", "locate"]


class Traceable(Protocol):
    """What `locate` asks of a form; a `Form` of the application is one."""

    @property
    def name(self) -> str:
        """What findings call it."""
        ...

    @property
    def graph(self) -> Graph | None:
        """The graph read from it, where one can be."""
        ...

    @property
    def trace(self) -> Callable[[Cases, Graph], Traced] | None:
        """The values inside of it, for inputs by case; given the graph it is compared with."""
        ...


Outputs = Mapping[str, Sequence[np.ndarray]]


def locate(oracle: Oracle, cases: Cases, forms: Mapping[Any, Outputs | str]) -> list[Finding]:
    """One finding for each form, which is known to differ from the oracle.

    Args:
        oracle: what every value should be.
        cases: the inputs it was made for.
        forms: each `Traceable` with its outputs by case, or with what went wrong when it was run.
    """
    return [_locate(oracle, cases, form, outputs) for form, outputs in forms.items()]


def _locate(oracle: Oracle, cases: Cases, form: Traceable, outputs: Outputs | str) -> Finding:
    if isinstance(outputs, str):
        return Finding(form.name, notes=[f"cannot be run: {outputs}"])
    try:
        traced = Traced({}) if form.trace is None else form.trace(cases, oracle.graph.astype("float32"))
    except Exception as error:  # A foreign runtime may raise anything; whatever it is, it is a finding.
        lines = str(error).splitlines() or [""]
        return Finding(form.name, notes=[f"cannot be traced: {type(error).__name__}: {lines[0]}"])
    traced = _aligned(oracle, form, traced)
    values = {case: dict(traced.values.get(case, {})) for case in cases}
    for case, arrays in outputs.items():
        if len(arrays) != len(oracle.graph.outputs):
            note = f"gives {len(arrays)} outputs instead of {len(oracle.graph.outputs)}"
            return Finding(form.name, notes=[note, *traced.notes])
        values[case] |= zip(oracle.graph.outputs, arrays, strict=True)
    _fill(oracle, values, traced)
    _fill_constants(oracle, values, traced)
    states = {name: _state(oracle, values, name) for name in oracle.graph.tensors}
    states |= {value.name: State.AGREES for value in oracle.graph.inputs}
    node = _first_to_differ(oracle.graph, states)
    if node is None:
        note = "its outputs differ, but no node differs from the oracle by more than rounding in float32"
        return Finding(form.name, notes=[note, *traced.notes])
    suspects = _hidden_before(oracle.graph, node, states)
    # What is hidden elsewhere has no part in this.
    notes = traced.notes if suspects else ()
    return diagnose(oracle, form.name, node, suspects, states, values, traced, notes)


def _aligned(oracle: Oracle, form: Traceable, traced: Traced) -> Traced:
    """What was traced under the names of the oracle's graph, with the ops that the form's own graph has."""
    if form.graph is None:
        return traced
    names = align(form.graph, oracle.graph)
    missing = [node.name for node in oracle.graph.nodes if node.name not in names.nodes.values()]
    notes = [f"no counterpart in it: {', '.join(missing)}"] if missing else []
    ops = {names.nodes[node.name]: node.op for node in form.graph.nodes if node.name in names.nodes}
    return Traced(
        {case: _renamed(values, names.values) for case, values in traced.values.items()},
        {case: _renamed(values, names.values) for case, values in traced.valid.items()},
        ops | {names.nodes[name]: op for name, op in traced.ops.items() if name in names.nodes},
        {names.nodes[name]: said for name, said in traced.remarks.items() if name in names.nodes},
        [*traced.notes, *notes],
    )


def _renamed(values: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {names[name]: array for name, array in values.items() if name in names}


def _fill(oracle: Oracle, values: dict[str, Values], traced: Traced) -> None:
    """The oracle's numbers where a value cannot be seen: there it neither agrees nor differs."""
    for case, known in traced.valid.items():
        for name, valid in known.items():
            array, exact = values[case][name], oracle.exact[case][name]
            if array.shape == exact.shape and valid.shape == exact.shape[:2]:
                values[case][name] = seen(array, exact, valid)


def _fill_constants(oracle: Oracle, values: dict[str, Values], traced: Traced) -> None:
    """What reads nothing is what the form's own op says, where no statement of it could be listened to."""
    for node in oracle.graph.nodes:
        own = traced.ops.get(node.name)
        if node.inputs or own is None or type(own) is not type(node.op):
            continue
        for case, known in values.items():
            outputs = compute(own.astype("float64"), [], [], oracle.sizes[case])
            values[case] = dict(zip(node.outputs, outputs, strict=True)) | known


def _state(oracle: Oracle, values: Mapping[str, Values], name: str) -> State:
    return oracle.state(name, {case: known[name] for case, known in values.items() if name in known})


def _first_to_differ(graph: Graph, states: dict[str, State]) -> Node | None:
    """The first node whose output differs and whose inputs do not."""
    for node in graph.nodes:
        spoilt = any(states[name] is State.DIFFERS for name in _read(node))
        differs = any(states[name] is State.DIFFERS for name in node.outputs)
        if differs and not spoilt:
            return node
        if spoilt:
            # A hidden value that comes from a wrong one is taken for wrong as well.
            states |= {name: State.DIFFERS for name in node.outputs if states[name] is State.HIDDEN}
    return None


def _read(node: Node) -> list[str]:
    return [*node.inputs, *(mask for mask in node.masks if mask is not None)]


def _hidden_before(graph: Graph, node: Node, states: Mapping[str, State]) -> list[Node]:
    """The nodes between ``node`` and the values that are known to agree."""
    makers = {name: maker for maker in graph.nodes for name in maker.outputs}
    hidden: dict[str, Node] = {}
    waiting = _read(node)
    while waiting:
        name = waiting.pop()
        if states[name] is State.HIDDEN and name in makers and makers[name].name not in hidden:
            hidden[makers[name].name] = makers[name]
            waiting += _read(makers[name])
    return [maker for maker in graph.nodes if maker.name in hidden]
