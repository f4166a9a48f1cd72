"""Weights of two models are compared by name, the worst first, and nothing is equal that is not."""

import dataclasses

import numpy as np
import pytest

from biport import ops
from biport.compare.localize.weights import SHOWN, WeightDifference, compare_weights
from biport.errors import InputError
from biport.graph import Graph, Node, Value
from testing.graphs import cell, classifier, dense


def layers(**ops_by_name: ops.Op) -> Graph:
    """Layers behind each other."""
    names = ["x", *ops_by_name]
    nodes = [
        Node(name, op, (source,)) for source, (name, op) in zip(names, ops_by_name.items(), strict=False)
    ]
    shape = ("N", "T", 3) if isinstance(nodes[0].op, ops.Cell) else ("N", 3)
    return Graph((Value("x", shape, "float32"),), tuple(nodes), (names[-1],))


def with_weights(op: ops.Op, **arrays: np.ndarray) -> ops.Op:
    return type(op).build(op.settings(), {**op.weights(), **arrays})


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(3)


def test_the_same_weights_are_equal(rng: np.random.Generator) -> None:
    graph = classifier(rng)
    report = compare_weights(graph, graph.astype("float32"))
    assert report.ok
    assert report.text == report.headline
    assert len(report.compared) == sum(map(len, graph.weights().values()))


def test_the_worst_comes_first_with_its_numbers(rng: np.random.Generator) -> None:
    one, two = dense(rng, 3, 4), dense(rng, 4, 2)
    weight, bias = one.weight.copy(), two.weights()["bias"].copy()
    weight[2, 1] += 0.5
    bias[1] -= 2
    a = layers(one=one, two=two)
    b = layers(one=with_weights(one, weight=weight), two=with_weights(two, bias=bias))
    report = compare_weights(a, b, ("ours", "theirs"))
    assert [difference.name for difference in report.differences] == ["two.bias", "one.weight"]
    second = report.differences[1]
    assert (second.count, second.index, second.shape) == (1, (2, 1), (4, 3))
    assert second.largest == pytest.approx(0.5)
    assert second.values == (float(one.weight[2, 1]), float(weight[2, 1]))
    head, worst, *_ = report.table.splitlines()
    assert head.split() == ["weight", "shape", "differing", "largest", "at", "ours", "theirs", "note"]
    assert worst.startswith("two.bias    [2]     1 of 2     2.00e+00  [1]")
    assert (
        "2 of 4 weights of ours and theirs are not equal bit for bit; the worst is 'two.bias'" in report.text
    )
    assert [one.name for one in compare_weights(a, b, tolerance=1).differences] == ["two.bias"]
    assert compare_weights(a, b, tolerance=2.1).ok


def test_what_cannot_be_compared_is_the_worst(rng: np.random.Generator) -> None:
    one, two = dense(rng, 3, 4), dense(rng, 4, 2)
    weight = two.weight.copy()
    weight[0, 3] += 9
    without = dataclasses.replace(one, bias=None)
    report = compare_weights(
        layers(one=one, two=two), layers(one=without, two=with_weights(two, weight=weight)), tolerance=1e-3
    )
    assert [(one.name, one.note) for one in report.differences] == [
        ("one.bias", "only in a"),
        ("two.weight", ""),
    ]
    wide = layers(one=dense(rng, 3, 5))
    (weight, bias) = compare_weights(layers(one=one), wide).differences
    assert (weight.name, weight.note) == ("one.weight", "shape [4, 3] and [5, 3]")
    assert bias.note == "shape [4] and [5]"


@pytest.mark.parametrize(
    "mine, yours, note",
    [
        (np.zeros(1), -np.zeros(1), "equal numbers"),
        (np.ones(1), np.ones(1, "float32"), "float64 and"),
    ],
)
def test_bits_count_unless_a_tolerance_is_given(mine: np.ndarray, yours: np.ndarray, note: str) -> None:
    a, b = (
        Graph(
            (Value("a", ("N", 1), array.dtype.name), Value("b", ("N", 1), array.dtype.name)),
            (Node("y", ops.LearnedAverage(weight=array), ("a", "b")),),
            ("y",),
        )
        for array in (mine, yours)
    )
    (difference,) = compare_weights(a, b).differences
    assert difference.largest == 0
    assert difference.note.startswith(note)
    assert compare_weights(a, b, tolerance=0).ok


def test_other_names_are_matched_by_the_layers_and_said(rng: np.random.Generator) -> None:
    one, two = dense(rng, 3, 4), dense(rng, 4, 2)
    report = compare_weights(layers(first=one, last=two), layers(fc=one, head=two), ("keras", "torch"))
    assert report.ok
    assert report.notes == [
        "'fc' of torch is compared with 'first' of keras",
        "'head' of torch is compared with 'last' of keras",
    ]
    longer = layers(fc=one, head=two, more=dense(rng, 2, 5))
    report = compare_weights(layers(more=one, last=two), longer, ("keras", "torch"))
    assert [(one.name, one.note) for one in report.differences] == [
        ("torch:more.weight", "only in torch"),
        ("torch:more.bias", "only in torch"),
    ]


def test_two_biases_are_compared_with_one_as_their_sum(rng: np.random.Generator) -> None:
    two = cell(rng, ops.LSTM, 3, 4, biases=2)
    weights = two.weights()
    sums = {f"bias_ih.{gate}": weights[f"bias_ih.{gate}"] + weights[f"bias_hh.{gate}"] for gate in two.gates}
    kept = {path: array for path, array in weights.items() if not path.startswith("bias_hh.")}
    one = ops.LSTM.build(two.settings(), kept | sums)
    for a, b in ((one, two), (two, one)):
        report = compare_weights(layers(rnn=a), layers(rnn=b))
        assert report.ok
        assert len(report.notes) == 1
        assert "bias_hh" not in str(report.compared)
    drifted = ops.LSTM.build(
        two.settings(), kept | sums | {"bias_ih.f": sums["bias_ih.f"] + np.float32(0.25)}
    )
    (difference,) = compare_weights(layers(rnn=two), layers(rnn=drifted)).differences
    assert difference.name == "rnn.bias_ih.f"
    assert difference.largest == pytest.approx(0.25)


def test_biases_that_do_not_act_as_a_sum_stay_two(rng: np.random.Generator) -> None:
    after = cell(rng, ops.GRU, 3, 4, biases=2, reset_after=True)
    before = cell(rng, ops.GRU, 3, 4, biases=1, reset_after=False)
    names = [one.name for one in compare_weights(layers(rnn=after), layers(rnn=before)).differences]
    assert {"rnn.bias_hh.z", "rnn.bias_hh.r", "rnn.bias_hh.h"} <= {*names}


def test_shared_weights_count_once(rng: np.random.Generator) -> None:
    op = dense(rng, 3, 3)
    assert compare_weights(layers(one=op, two=op), layers(one=op, two=op)).compared == [
        "one.weight",
        "one.bias",
    ]


def test_nothing_to_compare_is_no_success() -> None:
    graph = layers(one=ops.Activation(function="tanh"))
    with pytest.raises(InputError, match="neither a nor b has weights"):
        compare_weights(graph, graph)
    with pytest.raises(InputError, match="tolerance should be"):
        compare_weights(graph, graph, tolerance=float("nan"))


def test_a_long_table_is_cut(rng: np.random.Generator) -> None:
    a, b = (layers(rnn=cell(rng, ops.LSTM, 3, 4, biases=2), head=dense(rng, 4, 5)) for _ in range(2))
    tables = compare_weights(a, b)
    assert len(tables.differences) == 18
    many = dataclasses.replace(tables, differences=[WeightDifference(str(i), (1,)) for i in range(SHOWN + 3)])
    assert many.table.splitlines()[-1] == "and 3 more"
