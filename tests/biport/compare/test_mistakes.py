"""Each mistake is another model, made where its name says, and a diagnosis tells it from all others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from biport import ops, reference
from biport.compare.cases import random_inputs
from biport.compare.localize.causes import mistakes_that_give
from biport.compare.mistakes import MISTAKES, Mistake, possible_mistakes
from biport.compare.mistakes.base import in_one_part
from biport.graph import Graph, Node, Value, scan_over
from biport.rewrite.steps import step_of
from testing.graphs import bidirectional, cell, dense, lstm

N, T = 5, 6
VALID = np.array(
    [[1, 1, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0], [0, 0, 1, 1, 1, 1], [1, 0, 1, 1, 0, 0], [0, 1, 0, 0, 1, 1]], bool
)


def one_layer(op: Any, states: bool = False) -> Graph:
    """A graph of one masked layer, in float64, with its initial states if they are wanted."""
    x, mask = Value("x", ("N", "T", 3), "float64"), Value("mask", ("N", "T"), "bool")
    given = [
        Value(f"s{n}", ("N", size), "float64") for n, size in enumerate(op.state_sizes if states else ())
    ]
    names = ("x", *(value.name for value in given))
    outputs = tuple(f"y{n}" for n in range(op.output_count))
    node = Node("layer", op.astype("float64"), names, outputs, ("mask", *[None] * len(given)))
    return Graph((x, mask, *given), (node,), outputs)


def inputs(graph: Graph) -> list[np.ndarray]:
    arrays = random_inputs(graph.inputs, N, T, np.random.default_rng(1))
    return [VALID if array.dtype == bool else array for array in arrays]


RNG = np.random.default_rng(0)
BOTH: dict[str, Any] = {"return_sequences": True, "zero_output_for_mask": True, "return_state": True}
GRAPHS = {
    "LSTM": one_layer(lstm(RNG, 3, 2, return_sequences=True, return_state=True), states=True),
    "last": one_layer(lstm(RNG, 3, 2, reverse=True)),
    "GRU both ways": one_layer(
        ops.Bidirectional(
            forward=cell(RNG, ops.GRU, 3, 2, **BOTH),
            backward=cell(RNG, ops.GRU, 3, 2, reverse=True, **BOTH),
            merge="ave",
        ),
        states=True,
    ),
    "stacked both ways": one_layer(
        ops.Bidirectional(
            forward=ops.StackedRNN(cells=(lstm(RNG, 3, 2), cell(RNG, ops.GRU, 2, 4))),
            backward=ops.StackedRNN(cells=(lstm(RNG, 3, 2), cell(RNG, ops.RNN, 2, 4)), reverse=True),
            merge="concat",
        )
    ),
    "unmerged": one_layer(bidirectional(RNG, 3, 2, None, True)),
    "a step of its own": one_layer(
        scan_over(step_of(lstm(RNG, 3, 2)), 2, return_sequences=True, return_state=True), states=True
    ),
}


def diagnosis(graph: Graph, outputs: Sequence[np.ndarray]) -> list[str]:
    def agrees(case: str, others: Sequence[np.ndarray]) -> bool:
        return all(
            one.shape == two.shape and np.allclose(one, two, rtol=0, atol=1e-9, equal_nan=True)
            for one, two in zip(outputs, others, strict=True)
        )

    arrays = {value.name: array for value, array in zip(graph.inputs, inputs(graph), strict=True)}
    return mistakes_that_give(graph, ["case"], agrees, lambda case: arrays, lambda case: {"N": N, "T": T})


def with_mistake(mistake: Mistake, graph: Graph) -> list[np.ndarray]:
    return reference.run(mistake.graph(graph), mistake.inputs(graph, inputs(graph)))


@pytest.mark.parametrize(
    "model",
    [pytest.param(name, marks=pytest.mark.sweep) if "both ways" in name else name for name in GRAPHS],
)
def test_every_mistake_is_another_model_than_all_others(model: str) -> None:
    graph = GRAPHS[model]
    op = graph.nodes[0].op
    mistakes = [other for mistake in MISTAKES for other in (mistake, *in_one_part(mistake, op))]
    seen: dict[bytes, str] = {}
    graphs: set[str] = set()
    for mistake in mistakes:
        other = mistake.graph(graph)
        if (other is graph and not mistake.mixes_inputs) or other.digest() in graphs:
            continue
        outputs = b"".join(np.round(array, 9).tobytes() for array in with_mistake(mistake, graph))
        assert seen.setdefault(outputs, mistake.name) == mistake.name
        graphs |= set() if other is graph else {other.digest()}
    right = b"".join(np.round(array, 9).tobytes() for array in reference.run(graph, inputs(graph)))
    assert right not in seen
    assert len(seen) > 15


@pytest.mark.parametrize(
    "model, name",
    [
        ("LSTM", "gates i and f are exchanged"),
        ("LSTM", "its activation is softsign instead of tanh"),
        ("LSTM", "its mask is taken for right padding"),
        ("LSTM", "its initial states are ignored"),
        ("last", "its last output is zero where its step is padded"),
        pytest.param(
            "GRU both ways", "gates z and r are exchanged in its forward direction", marks=pytest.mark.sweep
        ),
        ("GRU both ways", "its backward direction scans forward and is not turned back"),
        pytest.param(
            "GRU both ways",
            "it gives the previous output at padded steps instead of zeros",
            marks=pytest.mark.sweep,
        ),
        pytest.param("GRU both ways", "it merges by 'sum' instead of 'ave'", marks=pytest.mark.sweep),
        ("unmerged", "its two outputs are exchanged"),
        *(
            pytest.param("a step of its own", name, marks=pytest.mark.sweep)
            for name in (
                "its bias is left out in 'x_f' of its step",
                "the states after its step are in the opposite order",
                "its initial states are ignored",
            )
        ),
    ],
)
def test_a_diagnosis_names_the_mistake_and_no_other(model: str, name: str) -> None:
    graph = GRAPHS[model]
    mistakes = {mistake.name: mistake for mistake in possible_mistakes(graph.nodes[0].op)}
    assert diagnosis(graph, with_mistake(mistakes[name], graph)) == [name]


def test_a_cell_and_a_direction_are_named() -> None:
    graph = GRAPHS["stacked both ways"]
    op: Any = graph.nodes[0].op
    mistakes = {mistake.name: mistake for mistake in possible_mistakes(op)}
    name = "its recurrent weights are transposed in cell 0"
    changed = {
        f"{name}{where}": mistakes[f"{name}{where}"].graph(graph).nodes[0].op.weights()
        for where in ("", " of its forward direction", " of its backward direction")
    }
    differing = {
        which: {
            path.partition(".w")[0] for path, array in weights.items() if (array != op.weights()[path]).any()
        }
        for which, weights in changed.items()
    }
    assert differing == {
        name: {"forward.cells.0", "backward.cells.0"},
        f"{name} of its forward direction": {"forward.cells.0"},
        f"{name} of its backward direction": {"backward.cells.0"},
    }


def test_no_mistake_gives_what_is_right_or_noise() -> None:
    graph = GRAPHS["LSTM"]
    right = reference.run(graph, inputs(graph))
    assert diagnosis(graph, right) == diagnosis(graph, [array + 0.01 for array in right]) == []


def test_a_dense_has_mistakes_of_its_own() -> None:
    x = Value("x", ("N", 3), "float64")
    op = dense(np.random.default_rng(0), 3, 2, "tanh").astype("float64")
    graph = Graph((x,), (Node("dense", op, ("x",)),), ("dense",))
    names = {mistake.name: mistake for mistake in possible_mistakes(op) if mistake.graph(graph) is not graph}
    assert len(names) == len(ops.ACTIVATIONS)  # all others, and no bias
    assert {"its bias is left out", "its activation is relu instead of tanh"} <= names.keys()
    name = "its activation is softsign instead of tanh"
    assert diagnosis(graph, with_mistake(names[name], graph)) == [name]


def test_no_name_is_used_twice() -> None:
    names = [mistake.name for mistake in MISTAKES]
    assert len(names) == len(set(names)) >= 50
    for graph in GRAPHS.values():
        every = [mistake.name for mistake in possible_mistakes(graph.nodes[0].op)]
        assert len(every) == len(set(every))
