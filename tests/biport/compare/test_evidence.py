"""What is left of a comparison says how large errors are, under which mask, at which step, in which row."""

import math
import pickle

import numpy as np
import pytest

from biport import ops
from biport.compare.cases import BOTH_ENDS, PATTERNS, pattern_names, valid_steps
from biport.compare.evidence import (
    LONGEST,
    Evidence,
    View,
    bin_edges,
    gather,
    graph_views,
    plain_views,
)
from biport.compare.tolerance import measure
from biport.dims import Dim
from biport.graph import Graph, Node, Value
from testing.graphs import classifier, embedding, lstm, two_inputs


@pytest.mark.parametrize("pattern", PATTERNS)
def test_the_pattern_of_a_row_is_the_one_it_was_made_with(pattern: str) -> None:
    valid = valid_steps((pattern,), 6, 7, np.random.default_rng(0))
    names = pattern_names(valid).tolist()
    # The first of several padded rows is full, so that there is a longest one.
    padded = pattern in ("right", "left")
    assert names == (["full"] * padded + [pattern] * (6 - padded))


def test_padding_at_both_ends_is_no_hole() -> None:
    assert pattern_names(np.array([[0, 1, 1, 0], [0, 1, 0, 1]], bool)).tolist() == [BOTH_ENDS, "holes"]
    assert pattern_names(np.zeros((2, 0), bool)).tolist() == ["full", "full"]


def evidence(
    results: dict[str, np.ndarray],
    oracle: dict[str, np.ndarray],
    view: View,
    masks: dict[str, np.ndarray] | None = None,
) -> Evidence:
    gathered = gather(results, oracle, measure(results, oracle), view, masks or {})
    assert gathered is not None
    return gathered


def test_errors_by_case_pattern_step_and_size() -> None:
    """Two rows, right-padded and with a hole, and a full one: errors only in the unit 1 of the hole's row."""
    oracle = {"a": np.full((2, 4, 3), 0.5), "b": np.full((1, 2, 3), 0.5)}
    masks = {"a": np.array([[1, 1, 0, 0], [1, 0, 1, 1]], bool), "b": np.ones((1, 2), bool)}
    results = {case: array.copy() for case, array in oracle.items()}
    results["a"][1, 2, 1] += 2e-3
    results["a"][1, 3, 1] -= 3e-5
    given = evidence(results, oracle, View(0, 1, "mask", own_steps=True), masks)
    assert (given.numbers, given.equal, given.astray) == (30, 28, 0)
    assert given.cases == {"a": pytest.approx(2e-3), "b": 0.0}
    assert given.patterns == {"right": 0.0, "holes": pytest.approx(2e-3), "full": 0.0}
    assert given.courses["holes"] == pytest.approx((0, 0, 2e-3, 3e-5))
    assert given.courses["full"] == (0.0, 0.0)
    counted = {round(edge, 2): n for edge, n in zip(bin_edges(), given.histogram, strict=False) if n}
    assert counted == {-4.75: 1, -2.75: 1}
    drawn = given.example
    assert drawn is not None
    assert (drawn.case, drawn.index, drawn.along, drawn.worst) == ("a", (1, 2, 1), "step", 2)
    assert drawn.exact == (0.5,) * 4
    assert drawn.given == pytest.approx((0.5, 0.5, 0.502, 0.49997))
    assert drawn.errors == pytest.approx((0, 0, 2e-3, 3e-5))
    assert drawn.own_mask
    assert drawn.mask == (True, False, True, True)


def test_nan_in_another_position_is_counted_apart() -> None:
    oracle = {"a": np.array([[1.0, np.nan, 3.0]])}
    given = evidence({"a": np.array([[1.5, np.nan, np.inf]])}, oracle, View(0, None))
    assert (given.numbers, given.equal, given.astray, sum(given.histogram)) == (3, 1, 1, 1)
    assert given.cases == {"a": math.inf}
    assert given.example is not None
    assert (given.example.along, given.example.worst) == ("unit", 2)


def test_an_output_of_another_shape_has_no_evidence() -> None:
    results, oracle = {"a": np.zeros((2, 3))}, {"a": np.zeros((2, 4))}
    assert gather(results, oracle, measure(results, oracle), View(0, None), {}) is None


def test_it_is_small_however_much_was_compared() -> None:
    rng = np.random.default_rng(0)
    exact = rng.normal(size=(5, 1000, 40))
    wrong = exact.copy()
    wrong[3, 700, 7] += 1
    masks = {"a": np.arange(1000) < np.array([[1000], [10], [20], [750], [40]])}
    given = evidence({"a": wrong}, {"a": exact}, View(0, 1, "mask", own_steps=True), masks)
    assert len(pickle.dumps(given)) < 40_000 < exact.nbytes / 10
    assert given.stride == 6
    # Point 116 stands for the steps 696 to 701.
    assert np.argmax(given.courses["right"]) == 116
    drawn = given.example
    assert drawn is not None
    assert drawn.mask is not None
    assert (len(drawn.exact), len(drawn.mask)) == (LONGEST, LONGEST)
    assert drawn.exact[drawn.worst - drawn.start] == exact[3, 700, 7]
    assert drawn.mask.index(False) == 750 - drawn.start


def views(inputs: list[tuple[Dim | str, ...]], *shapes: tuple[Dim | str, ...]) -> list[tuple]:
    values = [Value(f"x{number}", shape, "float32") for number, shape in enumerate(inputs)]
    outputs = [Value("y", shape, "float32").shape for shape in shapes]
    return [(view.rows, view.steps) for view in plain_views(values, outputs)]


def test_where_steps_are() -> None:
    assert views([("N", "T", 3)], ("N", "T", 5), ("N", 5), ("N",), ()) == [
        (0, 1),
        (0, None),
        (0, None),
        (None, None),
    ]
    assert views([("T", "N", 3)], ("T", "N", 5)) == [(1, 0)]
    # A fixed length is known by the input that has it; of two axes the last one are features.
    assert views([("N", 7, 3)], ("N", 7, 5), ("N", 7), ("N", 2, 7)) == [(0, 1), (0, None), (0, None)]


def test_the_mask_of_an_output_is_that_of_its_own_steps() -> None:
    rng = np.random.default_rng(0)
    states = ("decoded", "decoded:1", "decoded:2")
    graph = Graph(
        (Value("source", ("N", "S"), "int32"), Value("target", ("N", "T"), "int32")),
        (
            Node("source_mask", ops.NotEqual(), ("source",)),
            Node("target_mask", ops.NotEqual(), ("target",)),
            Node("read", embedding(rng, 4), ("source",)),
            Node("written", embedding(rng, 4), ("target",)),
            Node(
                "encoded",
                lstm(rng, 4, 3, return_state=True),
                ("read",),
                ("encoded", "encoded:1", "encoded:2"),
                ("source_mask",),
            ),
            Node(
                "decoded",
                lstm(rng, 4, 3, return_sequences=True, return_state=True),
                ("written", "encoded:1", "encoded:2"),
                states,
                ("target_mask", None, None),
            ),
        ),
        ("decoded", "decoded:1", "encoded", "read"),
    )
    assert [(view.mask, view.own_steps) for view in graph_views(graph)] == [
        ("target_mask", True),
        ("target_mask", False),
        ("source_mask", False),
        (None, False),
    ]


def test_views_of_other_graphs() -> None:
    (view,) = graph_views(classifier(np.random.default_rng(0)))
    assert (view.rows, view.steps, view.mask, view.own_steps) == (0, None, "mask", False)
    assert [view.mask for view in graph_views(two_inputs())] == ["valid", None]
