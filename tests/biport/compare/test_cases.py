"""Every pattern of mask is what it is called at every size, and inputs have it where a model looks for it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from biport import ops
from biport.analysis.lengths import Least, check_steps, needed_steps
from biport.compare.cases import CASES, PATTERNS, padding_values, random_cases, random_inputs, valid_steps
from biport.compare.gradients import _finite
from biport.dims import letter
from biport.errors import InputError
from biport.graph import Graph, Node, Value
from biport.inputs import check_arrays, check_inputs, row_lengths
from biport.ops.shaping import WHOLE
from testing.graphs import classifier, lstm

SIZES = st.integers(0, 9)
SEEDS = st.integers(0, 9)


def masks(pattern: str, N: int, T: int, seed: int = 0) -> np.ndarray:
    return valid_steps((pattern,), N, T, np.random.default_rng(seed))


def has_gap(row: np.ndarray) -> bool:
    if not row.any():
        return False
    return not row[row.argmax() : len(row) - row[::-1].argmax()].all()


@given(pattern=st.sampled_from(PATTERNS), N=SIZES, T=SIZES, seed=SEEDS)
@example(pattern="right", N=4, T=5, seed=0)
@example(pattern="left", N=3, T=5, seed=0)
@example(pattern="holes", N=3, T=2, seed=0)
def test_a_mask_is_what_its_pattern_says(pattern: str, N: int, T: int, seed: int) -> None:
    valid = masks(pattern, N, T, seed)
    assert valid.shape == (N, T)
    assert valid.dtype == bool
    rises, falls = np.diff(valid.astype(int), axis=1) > 0, np.diff(valid.astype(int), axis=1) < 0
    match pattern:
        case "full":
            assert valid.all()
        case "right":
            assert not rises.any()
        case "left":
            assert not falls.any()
        case "holes":
            assert all(has_gap(row) for row in valid) or T < 3
        case _:
            assert not valid.any()
    if pattern != "all padding" and T:
        assert valid.any(axis=1).all()
    if pattern in ("right", "left"):
        lengths = valid.sum(axis=1)
        padded = lengths[N > 3 :]
        assert T < 2 or (padded < T).all()
        assert len({*padded}) == min(len(padded), max(T - 1, 1))
        assert N < 4 or lengths[0] == T
    if pattern == "holes" and T == 2:
        assert valid.tolist() == [[True, False], [False, True]] * (N // 2) + [[True, False]] * (N % 2)


@pytest.mark.parametrize("T", [4, 5, 8])
@pytest.mark.parametrize("seed", range(8))
def test_both_ends_of_a_mask_with_holes_are_padded_in_some_row(T: int, seed: int) -> None:
    valid = masks("holes", 5, T, seed)
    assert [(row[0], row[-1]) for row in valid[[0, 1, 3, 4]]] == [(True, False), (False, True)] * 2
    assert all(has_gap(row) for row in valid)


@given(patterns=st.lists(st.sampled_from(PATTERNS), min_size=1, max_size=7), N=SIZES, T=SIZES, seed=SEEDS)
def test_patterns_go_in_turn(patterns: Sequence[str], N: int, T: int, seed: int) -> None:
    valid = valid_steps(patterns, N, T, np.random.default_rng(seed))
    for number, row in enumerate(valid):
        pattern = patterns[number % len(patterns)]
        assert row.all() if pattern == "full" else pattern != "all padding" or not row.any()
        assert pattern != "holes" or T < 3 or has_gap(row)
        assert T < 2 or pattern not in ("right", "left") or row[-1 if pattern == "left" else 0]


@pytest.mark.parametrize("patterns", [(), ("full", "middle")])
def test_an_unknown_pattern_is_refused(patterns: Sequence[str]) -> None:
    with pytest.raises(ValueError, match="should be one of full, right"):
        valid_steps(patterns, 2, 3, np.random.default_rng(0))


VALUES = (
    Value("ids", ("N", "T"), "int64"),
    Value("free", ("N", 4), "int32"),
    Value("class", ("N",), "int32"),
    Value("texts", ("N", "S", 3), "int32"),
    Value("x", ("N", "T", 2), "float32"),
    Value("state", ("N", 5), "float64"),
    Value("mask", ("N", "T"), "bool"),
)


@given(
    N=SIZES,
    T=SIZES,
    bound=st.integers(1, 5),
    pad=st.integers(-1, 5),
    lengths=st.booleans(),
    patterns=st.lists(st.sampled_from(PATTERNS), min_size=1, max_size=3),
)
def test_inputs_suit_the_model_and_are_padded_where_the_mask_says(
    N: int, T: int, bound: int, pad: int, lengths: bool, patterns: Sequence[str]
) -> None:
    rng = np.random.default_rng(N)
    how: Any = {"lengths": np.minimum(np.arange(N), T)} if lengths else {"patterns": patterns}
    arrays = random_inputs(
        VALUES, N, {"T": T, "S": 6}, rng, id_bounds={"ids": bound}, padding={"ids": pad, "x": -1.0}, **how
    )
    check_arrays(VALUES, {"ids": bound, "free": 10}, arrays)
    named = {value.name: array for value, array in zip(VALUES, arrays, strict=True)}
    assert {name: array.shape for name, array in named.items()} == {
        "ids": (N, T),
        "free": (N, 4),
        "class": (N,),
        "texts": (N, 6, 3),
        "x": (N, T, 2),
        "state": (N, 5),
        "mask": (N, T),
    }
    assert [array.dtype.name for array in arrays] == [value.dtype for value in VALUES]
    of_masks = {"mask": named["mask"], "x": (named["x"] != -1).any(axis=-1), "free": named["free"] != 0}
    of_masks["texts"] = (named["texts"] != 0).all(axis=-1)
    if 0 <= pad < bound != 1:
        of_masks["ids"] = named["ids"] != pad
    for name, valid in of_masks.items():
        if lengths:
            np.testing.assert_array_equal(valid, np.arange(valid.shape[1]) < how["lengths"][:, None], name)
        elif not {*patterns} & {"right", "left", "holes"}:
            full = [patterns[row % len(patterns)] == "full" for row in range(N)]
            np.testing.assert_array_equal(valid, np.repeat(np.reshape(full, (N, 1)), valid.shape[1], axis=1))


@pytest.mark.parametrize("dtype", ["int32", "float32", "bool"])
@pytest.mark.parametrize("shape", [("N",), ("N", "T"), ("N", "T", 3), ("N", 2, "T", 3), (3,), (3, "T", "S")])
def test_inputs_of_any_rank_and_of_a_fixed_batch(shape: tuple[Any, ...], dtype: str) -> None:
    values = Value("one", shape, dtype), Value("other", ("N", "T"), "int32")
    lengths = np.array([1, 4, 2, 0, 5])
    settings: list[dict[str, Any]] = [{}, {"lengths": lengths}]
    for how in settings:
        one, other = random_inputs(values, 5, 4, np.random.default_rng(0), padding={"one": 0}, **how)
        N = 3 if 3 in shape[:1] else 5
        assert one.shape == (N, *(dim if isinstance(dim, int) else 4 for dim in shape[1:]))
        assert other.shape == (N, 4)
        check_arrays(values, {}, [one, other])
        if len(shape) > 1 and how:
            steps = np.arange(one.shape[1]) < lengths[:N, None]
            np.testing.assert_array_equal((one != 0).reshape(*steps.shape, -1).all(axis=-1), steps)


def test_every_id_that_is_none_of_padding_occurs() -> None:
    values = (Value("ids", ("N", "T"), "int32"),)
    rng = np.random.default_rng(0)
    for pad in (0, 2, 4, 9):
        (ids,) = random_inputs(
            values, 40, 9, rng, patterns=("full",), id_bounds={"ids": 5}, padding={"ids": pad}
        )
        assert {*ids.ravel().tolist()} == {*range(5)} - {pad}


def test_random_cases_reach_every_pattern() -> None:
    graph = classifier(np.random.default_rng(0))
    cases = random_cases(graph, 3)
    masks = {case: arrays[0] != 0 for case, arrays in cases.items()}
    assert masks["full"].all()
    assert masks["right"][:, 0].all()
    assert not masks["right"].all()
    assert masks["left"][:, -1].all()
    assert not masks["left"].all()
    holes = masks["holes"]
    assert (np.diff(holes.astype(int), axis=1) == 1).any()
    assert (np.diff(holes.astype(int), axis=1) == -1).any()
    assert (~masks["all padding"]).all(axis=1).any()
    assert masks["all padding"].any()
    assert masks["one step"].shape == (1, 1)
    again = random_cases(graph, 3)
    assert all((again[case][0] == cases[case][0]).all() for case in cases)
    assert any((random_cases(graph, 4)[case][0] != cases[case][0]).any() for case in cases)


def test_random_cases_pad_features_as_a_masking_layer_sees_them() -> None:
    x = Value("x", ("N", "T", 3), "float32")
    nodes = (
        Node("mask", ops.FeaturesNotEqual(value=-1.0), ("x",)),
        Node("masking", ops.Masking(mask_value=-1.0), ("x",)),
        Node("lstm", lstm(np.random.default_rng(0), 3, 2), ("masking",), masks=("mask",)),
    )
    cases = random_cases(Graph((x,), nodes, ("lstm",)), 3)
    masks = {case: (arrays[0] != -1).any(axis=-1) for case, arrays in cases.items()}
    assert masks["full"].all()
    assert masks["right"][:, 0].all()
    assert not masks["right"].all()
    assert (~masks["all padding"]).all(axis=1).any()


def test_the_cases_have_their_sizes() -> None:
    cases = random_cases(classifier(np.random.default_rng(0)))
    assert {case: arrays[0].shape for case, arrays in cases.items()} == {
        "full": (5, 11),
        "right": (6, 9),
        "left": (6, 9),
        "holes": (6, 12),
        "all padding": (4, 7),
        "one step": (1, 1),
        "long": (3, 70),
    }
    assert {pattern for _, _, patterns in CASES.values() for pattern in patterns} == {*PATTERNS}


def test_cases_are_as_long_as_the_model_needs_them() -> None:
    x = Value("x", ("N", "T", 3), "float32")
    graph = Graph(
        (x,),
        (Node("pool", ops.MaxPooling1D(pool_size=(20,), strides=(3,), padding="valid"), ("x",)),),
        ("pool",),
    )
    cases = random_cases(graph)
    assert {case: arrays[0].shape[1] for case, arrays in cases.items()} == {
        case: max(20, T) for case, (_, T, _) in CASES.items()
    }
    for arrays in cases.values():
        check_inputs(graph, arrays)


def test_padding_is_read_off_the_masks() -> None:
    values = (Value("ids", ("N", "T"), "int32"), Value("x", ("N", "T", 3), "float32"))
    nodes = (
        Node("a", ops.NotEqual(value=3), ("ids",)),
        Node("b", ops.FeaturesNotEqual(value=-1.0), ("x",)),
        Node("c", ops.Masking(mask_value=-1.0), ("x",)),
        Node("d", ops.FeaturesNotEqual(value=7.0), ("c",)),
    )
    assert padding_values(Graph(values, nodes, ("a", "b", "d"))) == {"ids": 3, "x": -1.0}


def packed(time_major: bool) -> Graph:
    """An LSTM over rows of lengths that are an input, from states that are inputs."""
    rows, steps = letter("N"), letter("T")
    shape = (steps, rows, 3) if time_major else (rows, steps, 3)
    values = (
        Value("state", (2, rows, 4), "float32"),
        Value("x", shape, "float32"),
        Value("lengths", (rows,), "int64"),
        Value("ids", shape[:2], "int32"),
    )
    nodes = (
        Node("steps", ops.Arange(stop=steps, output_dtype="int64"), ()),
        Node("column", ops.ExpandDims(axes=(1,)), ("lengths",)),
        Node("mask", ops.Elementwise(function="less"), ("steps", "column")),
        Node("turned", ops.PermuteDims(axes=(1, 0, 2) if time_major else (0, 1, 2)), ("x",)),
        Node("h", ops.Slice(items=(0, WHOLE, WHOLE)), ("state",)),
        Node("c", ops.Slice(items=(1, WHOLE, WHOLE)), ("state",)),
        Node(
            "lstm",
            lstm(np.random.default_rng(0), 3, 4, zero_output_for_mask=True),
            ("turned", "h", "c"),
            masks=("mask", None, None),
        ),
        Node("noted", ops.NotEqual(value=0), ("ids",)),
    )
    return Graph(values, nodes, ("lstm", "noted"))


@pytest.mark.parametrize("time_major", [False, True])
def test_rows_and_steps_are_where_the_letters_say(time_major: bool) -> None:
    graph = packed(time_major)
    assert row_lengths(graph) == {"lengths": letter("T")}
    for case, (state, x, lengths, ids) in random_cases(graph, 2).items():
        N, T, patterns = CASES[case]
        assert state.shape == (2, N, 4)
        assert x.shape == ((T, N, 3) if time_major else (N, T, 3))
        assert lengths.tolist() == sorted(lengths, reverse=True)
        assert lengths[0] == T
        assert lengths.min() >= 1
        of_rows = (ids.T if time_major else ids) != 0
        assert of_rows.all() == ({*patterns} == {"full"} or T == 1)
        if {*patterns} == {"right"}:
            assert (np.diff(of_rows.astype(int), axis=1) <= 0).all()
        check_inputs(graph, [state, x, lengths, ids])


def test_lengths_that_are_given_are_those_of_the_rows() -> None:
    graph, lengths = packed(True), np.array([2, 5, 9])
    _, x, own, ids = random_inputs(
        graph.inputs,
        3,
        6,
        np.random.default_rng(0),
        lengths=lengths,
        padding={"x": 0.0},
        rows=row_lengths(graph),
    )
    assert own.tolist() == [2, 5, 6]
    for array in ((x != 0).all(axis=-1), ids != 0):
        np.testing.assert_array_equal(array, np.arange(6)[:, None] < lengths)


def test_a_time_major_input_is_as_long_as_the_model_needs_it() -> None:
    x = Value("x", ("T", "N", 3), "float32")
    nodes = (
        Node("turned", ops.PermuteDims(axes=(1, 0, 2)), ("x",)),
        Node("pool", ops.MaxPooling1D(pool_size=(20,), strides=(3,), padding="valid"), ("turned",)),
    )
    graph = Graph((x,), nodes, ("pool",))
    assert needed_steps(graph) == {"x": Least(20, "'pool' (MaxPooling1D)", "steps")}
    with pytest.raises(InputError, match="19 time steps"):
        check_steps(graph.inputs, needed_steps(graph), [np.zeros((19, 1, 3))])
    check_steps(graph.inputs, needed_steps(graph), [np.zeros((20, 1, 3))])
    assert {arrays[0].shape[1] for arrays in random_cases(graph).values()} == {1, 3, 4, 5, 6}


def test_gradients_are_of_the_rows_that_are_finite_on_whatever_axis() -> None:
    x = Value("x", ("T", "N", 2), "float32")
    nodes = (
        Node("log", ops.Elementwise(function="log"), ("x",)),
        Node("sum", ops.Reduction(function="sum", axes=(0, 1, 2)), ("x",)),
    )
    graph = Graph((x,), nodes, ("log", "sum"))
    array = np.ones((3, 4, 2), "float32")
    array[1, 2, 0] = -1.0
    notes: list[str] = []
    (left,) = _finite(graph, {"one": [array], "none": [-array]}, notes)["one"]
    np.testing.assert_array_equal(left, array[:, [0, 1, 3]])
    assert notes == [
        "gradients without 1 rows of 'one', whose outputs are not finite",
        "gradients without all rows of 'none', whose outputs are not finite",
    ]
