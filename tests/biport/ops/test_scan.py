"""`ops.Scan`: a recurrence over a body, against the cells that it may be, and what it refuses to be."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from biport import bundle, ops, reference
from biport.analysis.rows import where_rows_meet
from biport.dims import bound, letter
from biport.errors import BiportError, FileError, GraphError, UnsupportedError
from biport.graph import Graph, Node, Value, body_of, frozen, scan_over, trained, weights_by_path
from biport.ops import Tensor
from biport.ops.checks import TooShortError
from biport.rewrite.steps import scan_of, step_of
from testing import scans
from testing.graphs import cell, conv_lstm
from testing.masks import MASKS, valid_steps

SIZES = {"N": 5, "T": 7, "S": 4}


def arrays_of(graph: Graph, rng: np.random.Generator, pattern: str = "holes") -> list[np.ndarray]:
    N, T = SIZES["N"], SIZES["T"]
    return [
        valid_steps(pattern, N, T, rng).astype("int32")
        if value.dtype == "int32"
        else rng.normal(size=bound(value.shape, SIZES)).astype(value.dtype)
        for value in graph.inputs
    ]


def of_every_mask(graph: Graph, rng: np.random.Generator) -> list[np.ndarray]:
    """One batch with the rows of every pattern."""
    rows = zip(*(arrays_of(graph, rng, pattern) for pattern in MASKS), strict=True)
    return [np.concatenate(arrays) for arrays in rows]


CELLS: dict[str, tuple[type[ops.Cell], dict[str, Any]]] = {
    "LSTM": (ops.LSTM, {"activation": "softsign"}),
    "GRU": (ops.GRU, {"recurrent_activation": "hard_sigmoid"}),
    "GRU, reset before": (ops.GRU, {"reset_after": False}),
    "RNN": (ops.RNN, {"activation": "relu"}),
}


@pytest.mark.parametrize("biases", [0, 1, 2])
@pytest.mark.parametrize("name", CELLS)
def test_a_cell_as_a_body_is_that_cell(name: str, biases: int) -> None:
    rng = np.random.default_rng(0)
    kind, more = CELLS[name]
    for sequences, reverse, states, zero in (
        *((False, False, True, False), (True, True, False, False), (True, True, True, True)),
    ):
        settings: dict[str, Any] = {"reverse": reverse, "return_sequences": sequences}
        settings |= {"return_state": states, "zero_output_for_mask": zero}
        one = cell(rng, kind, scans.I, scans.H, biases=biases, dtype="float64", **more, **settings)
        op = scan_over(step_of(one), len(one.states), **settings)
        graph = scans.graph_of(op, states=states)
        arrays = of_every_mask(graph, rng)
        nodes = tuple(dataclasses.replace(n, op=one if n.name == "cell" else n.op) for n in graph.nodes)
        exact = reference.run(dataclasses.replace(graph, nodes=nodes), arrays)
        for mine, wanted in zip(reference.run(graph, arrays), exact, strict=True):
            np.testing.assert_allclose(mine, wanted, rtol=0, atol=1e-14)


@pytest.mark.parametrize("name", scans.CELLS)
def test_it_goes_through_a_bundle(name: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    op = scans.CELLS[name](rng, return_sequences=True)
    graph = scans.graph_of(op)
    copy = bundle.read(bundle.write(graph, tmp_path / "model"))
    assert copy == graph
    assert copy.digest() == graph.digest()
    assert scan_over(body_of(op), op.state_count, return_sequences=True) == op
    assert type(op).build(op.settings(), op.weights()) == op
    arrays = arrays_of(graph, rng)
    for one, two in zip(reference.run(copy, arrays), reference.run(graph, arrays), strict=True):
        np.testing.assert_array_equal(one, two)
    wide = graph.astype("float64")
    assert {tensor.dtype for tensor in wide.tensors.values()} <= {"float64", "int32", "bool"}
    assert wide.astype("float32") == graph


def test_two_calls_of_one_op_share_its_weights() -> None:
    rng = np.random.default_rng(2)
    body = scans.Body(rng, "float32")
    low = body.dense("low", "x", scans.I, scans.I)
    again = body("again", body.nodes[0].op, low)
    op = body.scan({"h": scans.I}, (again, again))
    assert list(op.body) == ["low"]
    assert list(op.weights()) == ["body.low.weight", "body.low.bias"]
    assert [node.op for node in body_of(op).nodes] == [op.body["low"]] * 2


def test_names_that_would_be_paths_of_each_other() -> None:
    rng = np.random.default_rng(3)
    body = scans.Body(rng, "float32")
    for name in ("a", "a.b", "a/b", "a_b", "kind"):
        h = body.dense(name, "x", scans.I, scans.H)
    op = body.scan({"h": scans.H}, (h, h))
    assert [call.name for call in op.calls] == ["a", "a.b", "a/b", "a_b", "kind"]
    assert len({path.rpartition(".")[0] for path in op.weights()}) == len(op.body) == 5
    assert type(op).build(op.settings(), op.weights()) == op
    with pytest.raises(GraphError, match=r"'a' is no name|'a\.b' is no name"):
        dataclasses.replace(op, body={**op.body, "a": op.body["a"], "a.b": op.body["a"]})


def test_learning_of_the_ops_inside() -> None:
    rng = np.random.default_rng(4)
    op = scans.peephole_lstm(rng)
    learning = {
        "body.i_peephole": ops.Learning(frozen=frozenset({"value"})),
        "": ops.Learning(unported=["one"]),
    }
    graph = scans.graph_of(op.with_learning(learning))
    assert op.with_learning(learning).all_learning() == learning
    assert frozen(graph) == {"cell.body.i_peephole.value"}
    assert (
        len(weights_by_path(graph))
        == len(trained(graph))
        == graph.parameter_count() / graph.parameter_count() * 19
    )
    assert graph.astype("float64")["cell"].op.all_learning() == learning


def test_letters_of_the_body_are_its_own() -> None:
    """The memory is as long as it comes, whatever T and S are outside."""
    rng = np.random.default_rng(5)
    op = scans.attention_cell(rng, "float64")
    assert not op.letters
    assert op.at({"N": 3, "S": 9}) is op
    (y,) = op.infer([Tensor(("N", 9, scans.I), "float64"), Tensor(("N", "T", 4), "float64")])
    assert y == Tensor(("N", scans.H + 4), "float64")
    x, memory = rng.normal(size=(2, 3, scans.I)), rng.normal(size=(2, 6, 4))
    graph = scans.graph_of(op, masked=False)
    longer = np.concatenate([memory, memory], axis=1)
    # Every step of the memory twice has twice the weight, which is divided by.
    np.testing.assert_allclose(
        reference.run(graph, [x, longer])[0], reference.run(graph, [x, memory])[0], rtol=0, atol=1e-14
    )


def test_a_constant_that_is_too_short() -> None:
    rng = np.random.default_rng(6)
    weight = rng.normal(size=(scans.H, 4, 3)).astype("float32")
    sizes: Any = {"input_size": 4, "output_size": scans.H, "kernel_size": 3}
    body = scans.Body(rng, "float32", memory=("N", "S", 4))
    body("windows", ops.Conv1D(**sizes, weight=weight, bias=None), "memory")
    y = body("most", ops.GlobalMaxPooling1D(), "windows")
    op = body.scan({"h": scans.H}, (y, y))
    x = Tensor(("N", "T", scans.I), "float32")
    assert op.infer([x, Tensor(("N", 3, 4), "float32")])[0].shape == ("N", scans.H)
    with pytest.raises(TooShortError, match=r"Scan: node 'windows': Conv1D needs 3 steps or more, found 2"):
        op.infer([x, Tensor(("N", 2, 4), "float32")])


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ([("N", "T", 4)], "takes 2 inputs, or 3 with states, found 1"),
        ([("N", "T", 4), ("N", "S", 4)], "last dimension of 5"),
        ([("N", "T", 5), ("N", 2), ("N", "S", 4)], "last dimension of 3"),
        ([("N", "T", 5), ("N", "S", 3)], r"takes 'memory' of float32 \(N, S, 4\), found"),
        ([("N", "T", 5), ("N", 4)], "takes 'memory'"),
        ([(2, "T", 5), (3, "S", 4)], "N is 2 and 3"),
    ],
)
def test_inputs_that_do_not_suit(inputs: list[tuple[Any, ...]], words: str) -> None:
    op = scans.attention_cell(np.random.default_rng(7))
    with pytest.raises(GraphError, match=words):
        op.infer([Tensor(shape, "float32") for shape in inputs])


def _body(*results: str, state: Any = ("N", scans.H), x: Any = ("N", scans.I)) -> Graph:
    rng = np.random.default_rng(8)
    values = Value("x", x, "float32"), Value("h", state, "float32")
    body = scans.Body(rng, "float32")
    body.dense("wide", "x", scans.I, 4)
    body.dense("y", "x", scans.I, scans.H)
    body("row", ops.Reduction(function="sum", axes=(1,)), "y")
    return Graph(values, tuple(body.nodes), results)


@pytest.mark.parametrize(
    ("graph", "count", "error", "words"),
    [
        (_body("y", "y"), 0, GraphError, "state_count should be one or more"),
        (_body("y", "y"), 2, GraphError, "a step with 2 states"),
        (_body("y"), 1, GraphError, "found 2 arguments and 1 results"),
        (_body("y", "wide"), 1, GraphError, r"the state 'h' is float32 \(N, 3\) before a step"),
        (_body("row", "y"), 1, UnsupportedError, r"body=\"'row' float32 \(N\)\""),
        (_body("y", "y", state=(2, scans.H)), 1, UnsupportedError, "N rows of a fixed size"),
        (_body("y", "y", x=(4, scans.I)), 1, GraphError, r"a step takes x \(N, I\)"),
    ],
)
def test_what_is_no_step(graph: Graph, count: int, error: type[BiportError], words: str) -> None:
    with pytest.raises(error, match=words):
        scan_over(graph, count)


def test_directions_are_two_scans() -> None:
    op = scans.ind_rnn(np.random.default_rng(9))
    with pytest.raises(GraphError, match="both directions are nodes of their own"):
        ops.Bidirectional(forward=op, backward=dataclasses.replace(op, reverse=True))


def test_rows_that_meet_in_a_step() -> None:
    rng = np.random.default_rng(10)
    body = scans.Body(rng, "float32")
    mean = body("mean", ops.Reduction(function="mean", axes=(0,), keepdims=True), "x")
    y = body.function("subtract", "x", mean)
    op = body.scan({"h": scans.I}, (y, y))
    x = [Tensor(("N", "T", scans.I), "float32")]
    assert op.mixes_rows(x)
    assert not scans.ind_rnn(rng).mixes_rows(x)
    node = Node("each", ops.TimeDistributed(layer=op), ("x",))
    graph = Graph((Value("x", ("N", 2, "T", scans.I), "float32"),), (node,), ("each",))
    assert where_rows_meet(graph) is node


def test_one_line_says_what_is_inside() -> None:
    op = scans.attention_cell(np.random.default_rng(11), return_sequences=True)
    assert str(op) == (
        "Scan(input_size=5, output_size=7, states=(h 3), constants=(memory float32 (N, S, 4)), "
        "body=(4 Dense, ExpandDims, Attention, Squeeze, 2 Concatenate, Add, Activation), return_sequences)"
    )


def paths(data: Any, before: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where there is something in plain data."""
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, part in items:
        yield (*before, key)
        yield from paths(part, (*before, key))


def test_a_damaged_step_is_refused(tmp_path: Path) -> None:
    rng = np.random.default_rng(12)
    graph, refused = scans.graph_of(scans.attention_cell(rng)), 0
    folder = bundle.write(graph, tmp_path / "model")
    text = (folder / "graph.json").read_text()
    every = list(paths(json.loads(text)["nodes"][1]["settings"]))
    values: list[Any] = [None, 5, "zz", [], {}, [[1]], {"kind": "Scan"}, True, 1e300]
    for at in rng.choice(len(every), 40, replace=False):
        data = json.loads(text)
        part = data["nodes"][1]["settings"]
        for key in every[at][:-1]:
            part = part[key]
        part[every[at][-1]] = values[rng.integers(len(values))]
        (folder / "graph.json").write_text(json.dumps(data))
        try:
            # Masks that are left out are none.
            assert bundle.read(folder) == graph
        except FileError:
            refused += 1
    assert refused > 30


@pytest.mark.parametrize("dimensions", [1, 2, 3])
@pytest.mark.parametrize("channels_first", [False, True])
@pytest.mark.parametrize(("padding", "strides"), [("valid", 1), ("same", 2)])
def test_a_convolutional_lstm_as_a_body_is_that_layer(
    dimensions: int, padding: str, strides: int, channels_first: bool
) -> None:
    rng = np.random.default_rng(0)
    size, kernel = (5, 4, 3)[:dimensions], (2, 3, 1)[:dimensions]
    settings: dict[str, Any] = {"return_sequences": True, "return_state": True, "reverse": strides == 2}
    one = conv_lstm(
        rng, dimensions, 2, 3, kernel, dtype="float64", padding=padding, strides=strides, **settings
    )
    last, op = (scan_of(one, (*size, 2), first) for first in (False, channels_first))
    graph, own = scans.graph_of(op, states=True), scans.graph_of(last, states=True)
    nodes = tuple(dataclasses.replace(n, op=one if n.name == "cell" else n.op) for n in own.nodes)
    layer = dataclasses.replace(own, nodes=nodes)
    assert [layer.tensors[name] for name in layer.outputs] == [own.tensors[name] for name in own.outputs]
    arrays = of_every_mask(layer, rng)
    wanted = reference.run(layer, arrays)
    if channels_first:
        arrays[2:] = [np.moveaxis(state, -1, 1) for state in arrays[2:]]
        wanted = [np.moveaxis(wanted[0], -1, 2), *(np.moveaxis(state, -1, 1) for state in wanted[1:])]
    for mine, exact in zip(reference.run(graph, arrays), wanted, strict=True):
        np.testing.assert_allclose(mine, exact, rtol=0, atol=1e-14)


def test_images_of_a_size_that_varies() -> None:
    op = conv_lstm(np.random.default_rng(0), 2, 2, 3, (1, 1))
    with pytest.raises(UnsupportedError, match=r"images of a size that varies.*fixed sizes"):
        scan_of(op, (letter("H"), 4, 2))
