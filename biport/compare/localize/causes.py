"""Why a node gives something else: other weights, other settings, or a known mistake that gives the same."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from biport.compare.mistakes import Mistake, possible_mistakes
from biport.errors import BiportError
from biport.graph import Graph, Node, Value
from biport.ops import Cell, Op, Tensor
from biport.reference import REFERENCES

TRAINING_ONLY = ("dropout", "recurrent_dropout", "rate", "mask_zero")

Arrays = Sequence[np.ndarray]
Masks = Sequence[np.ndarray | None]


def other_weights(own: Op, wanted: Op) -> dict[str, list[str]]:
    """The weights that differ, ``{path: gates}``; no gates where there are none: ``{"bias": []}``."""
    mine, yours = _comparable(own), _comparable(wanted)
    differing: dict[str, list[str]] = {}
    for path in sorted(mine.keys() | yours.keys()):
        if path in mine and path in yours and np.array_equal(mine[path], yours[path]):
            continue
        if path in mine and path in yours and "bias" in path and _same_sum(mine[path], yours[path]):
            continue
        weight, _, gate = path.rpartition(".")
        is_gate = weight.rpartition(".")[2].startswith(("weight_", "bias_"))
        differing.setdefault(weight if is_gate else path, []).extend([gate] if is_gate else [])
    return differing


def _same_sum(one: np.ndarray, two: np.ndarray) -> bool:
    """Whether two biases are the same but for having been added up in float32."""
    return one.shape == two.shape and np.allclose(one, two, rtol=1e-6, atol=1e-7)


def _comparable(op: Op) -> dict[str, np.ndarray]:
    """The weights in float64, two biases that only act in their sum as that sum, none as zeros."""
    weights = {path: array.astype("float64") for path, array in op.weights().items()}
    for path, cell in _cells(op, ""):
        if not cell.one_bias:
            continue
        for gate in cell.gates:
            parts = [weights.pop(f"{path}{name}.{gate}", None) for name in ("bias_ih", "bias_hh")]
            given = [part for part in parts if part is not None]
            weights[f"{path}bias_ih.{gate}"] = sum(given) if given else np.zeros(cell.hidden_size)  # type: ignore[assignment]
    return weights


def _cells(op: Op, path: str) -> Iterator[tuple[str, Cell]]:
    if isinstance(op, Cell):
        yield path, op
    for name, part in op.parts().items():
        yield from _cells(part, f"{path}{name}.")


def other_settings(own: Op, wanted: Op) -> list[str]:
    """The settings that differ, in words; those of training do not count."""
    if own.kind != wanted.kind:
        return [f"it is a {own.kind} instead of a {wanted.kind}"]
    mine, yours = _flat(own.settings()), _flat(wanted.settings())
    return [
        f"its {path} is {mine.get(path)!r} instead of {yours.get(path)!r}"
        for path in sorted(mine.keys() | yours.keys())
        if mine.get(path) != yours.get(path) and path.rpartition(".")[2] not in TRAINING_ONLY
    ]


def _flat(settings: Any, path: str = "") -> dict[str, Any]:
    if isinstance(settings, Mapping):
        parts = settings.items()
    elif isinstance(settings, list) and any(isinstance(part, Mapping) for part in settings):
        parts = enumerate(settings)
    else:
        return {path: settings}
    flat: dict[str, Any] = {}
    for key, value in parts:
        flat |= _flat(value, f"{path}.{key}" if path else str(key))
    return flat


def compute(op: Op, inputs: Arrays, masks: Masks, sizes: Mapping[str, int]) -> tuple[np.ndarray, ...]:
    """What the oracle makes of these inputs with ``op``, letters being these sizes."""
    return REFERENCES.lookup(type(op), op.kind)(op.at(sizes), inputs, masks)


def alone(node: Node, op: Op, tensors: Mapping[str, Tensor]) -> Graph:
    """A graph of ``node`` alone, with ``op``; what it reads, masks too, are the inputs.

    Raises:
        BiportError: ``op`` does not suit the node.
    """
    names = dict.fromkeys([*node.inputs, *(mask for mask in node.masks if mask is not None)])
    values = tuple(Value(name, tensors[name].shape, tensors[name].dtype) for name in names)
    return Graph(values, (dataclasses.replace(node, op=op),), node.outputs)


def mistakes_that_give(
    graph: Graph,
    cases: Sequence[str],
    agrees: Callable[[str, Arrays], bool],
    sources: Callable[[str], Mapping[str, np.ndarray]],
    sizes: Callable[[str], Mapping[str, int]],
) -> list[str]:
    """Of `biport.compare.mistakes`, in words, those that give what a form gave, in every case.

    Args:
        graph: of one node; see `alone`.
        cases: those to look at, the cheapest first.
        agrees: whether outputs are what the form gave in a case.
        sources: what the node reads in a case, by name.
        sizes: what the letters of the model are in a case.
    """
    names: list[str] = []
    graphs: list[Graph] = []
    for mistake in possible_mistakes(graph.nodes[0].op):
        try:
            other = mistake.graph(graph)
            if other is graph and not mistake.mixes_inputs:
                continue
            with np.errstate(all="ignore"):
                gives = all(
                    agrees(case, _outputs(mistake, other, graph, sources(case), sizes(case)))
                    for case in cases
                )
        except (BiportError, ValueError):
            continue  # This mistake cannot be made with this op.
        # In one part of it alone is no news where nothing else has changed.
        if gives and (mistake.mixes_inputs or other not in graphs):
            names.append(mistake.name)
            graphs.append(other)
    return names


def _outputs(
    mistake: Mistake,
    other: Graph,
    graph: Graph,
    sources: Mapping[str, np.ndarray],
    sizes: Mapping[str, int],
) -> list[np.ndarray]:
    """What the oracle makes of a graph and inputs with a mistake; unlike `reference.run`, of NaN too."""
    given = mistake.inputs(graph, [sources[value.name] for value in graph.inputs])
    values = {value.name: array for value, array in zip(graph.inputs, given, strict=True)}
    for node in other.nodes:
        masks = [None if mask is None else values[mask] for mask in node.masks]
        outputs = compute(node.op, [values[name] for name in node.inputs], masks, sizes)
        values |= zip(node.outputs, outputs, strict=True)
    return [values[name] for name in other.outputs]
