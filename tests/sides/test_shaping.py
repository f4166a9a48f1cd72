"""Operations that move elements: every form against the reference, of every dtype, cut in every way."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from onnxruntime import InferenceSession

import export
import keras_side
import torch_side
from biport import ops, reference
from biport.dims import length, letter, sizes
from biport.errors import InputError, UnsupportedError
from biport.graph import Graph, Node, Value
from biport.ops.shaping import Cut
from testing.graphs import bidirectional, dense
from testing.operations import check_forms, drawn, forms, side_by_side

I = 4
INPUTS = (
    Value("x", ("N", "T", I), "float32"),
    Value("i", ("N", "T", I), "int64"),
    Value("j", ("N", "T", I), "int32"),
    Value("b", ("N", "T", I), "bool"),
    Value("y", ("N", "S", 2), "float32"),
)
Call = tuple[ops.Op, Sequence[str]]
N, T, S = letter("N"), letter("T"), letter("S")
ALL: Cut = (None, None, 1)


def of_any_length(name: str) -> Iterator[Call]:
    """Defined of no rows and of no steps too."""
    yield ops.ReshapeTo(shape=(N * T, I)), [name]
    yield ops.ReshapeTo(shape=(N, T, 2, 2)), [name]
    yield ops.ReshapeTo(shape=(T, 2, N * 2)), [name]
    yield ops.PermuteDims(axes=(1, 0, 2)), [name]
    yield ops.PermuteDims(axes=(2, 0, 1)), [name]
    yield ops.ExpandDims(axes=(1, -1)), [name]
    yield ops.BroadcastTo(shape=(2, N, T, I)), [name]
    yield ops.Tile(repetitions=(2, 3, 1)), [name]
    yield ops.Tile(repetitions=(S, 1, 2, 1)), [name]
    yield ops.Repeat(repeats=3, axis=1), [name]
    yield ops.Repeat(repeats=2, axis=-1), [name]
    yield ops.Flip(axes=(0, -1)), [name]
    yield ops.Roll(shift=-2, axis=1), [name]
    yield ops.Roll(shift=5, axis=-1), [name]
    yield ops.Pad(widths=((0, 1), (2, 0), (1, 1)), value=1), [name]
    yield ops.Pad(widths=((0, 0), (S, T), (0, 0))), [name]
    yield ops.Pad(widths=((0, 0), (0, 0), (2, 3)), mode="edge"), [name]
    yield ops.Pad(widths=((0, 0), (0, 0), (2, 3)), mode="reflect"), [name]
    yield ops.Slice(items=()), [name]
    yield ops.Slice(items=(ALL, (T // 2, None, 1))), [name]
    yield ops.Slice(items=(ALL, (S, length(T - 1), 2), None)), [name]
    yield ops.Slice(items=(None, ALL, ALL, 1)), [name]
    yield ops.Stack(axis=1), [name, name]
    yield ops.Stack(axis=-1), [name]
    yield ops.Split(sizes=(1, -1), axis=-1), [name]
    yield ops.Split(sizes=(-1,), axis=1), [name]
    yield ops.Unstack(count=I, axis=2), [name]
    yield ops.Concatenate(axis=0), [name, name]
    yield ops.Concatenate(axis=1), [name, name]


def of_some(name: str) -> Iterator[Call]:
    """Needs a step."""
    yield ops.Slice(items=(ALL, -1)), [name]
    yield ops.Slice(items=(ALL, 0, None)), [name]
    yield ops.Split(sizes=(1, -1), axis=1), [name]
    yield ops.Pad(widths=((0, 0), (2, S), (0, 0)), mode="edge"), [name]


@pytest.mark.parametrize("name", ["x", "b", *(pytest.param(name, marks=pytest.mark.sweep) for name in "ij")])
def test_every_form(name: str, tmp_path: Path) -> None:
    used = [value for value in INPUTS if value.name in (name, "y")]
    calls = [*of_any_length(name), (ops.ReshapeTo(shape=(S * N, 2)), ["y"])]
    nothing = side_by_side(used, calls)
    graph = side_by_side(used, [*calls, *of_some(name)])
    sizes = [{"N": n, "T": t, "S": s} for n, t, s in ((3, 5, 2), (2, 1, 4), (0, 3, 2))]
    check_forms(graph, [drawn(graph, size) for size in sizes], forms(graph, tmp_path))
    if name == "x":
        empty = [drawn(nothing, {"N": n, "T": 0, "S": s}) for n, s in ((2, 3), (2, 0), (0, 0))]
        check_forms(nothing, empty, forms(nothing, tmp_path))


def test_what_a_written_module_says() -> None:
    calls = [
        (ops.Slice(items=(ALL, -1)), ["x"]),
        (ops.Slice(items=(None, (1, None, 2), (T // 2, None, 1))), ["x"]),
        (ops.Slice(items=(ALL, (-1, 0, -1))), ["x"]),
        (ops.PermuteDims(axes=(0, 2, 1)), ["x"]),
        (ops.ReshapeTo(shape=(N * T, I)), ["x"]),
        (ops.Slice(items=()), ["x"]),
    ]
    graph = side_by_side(INPUTS[:1], calls)
    module = torch_side.write(graph)
    for text in (
        "x[:, -1]",
        "[None, 1::2, floordiv:]",
        "x.flip(1)",
        "[:, :-1]",
        "x.transpose(1, 2)",
        "x.reshape(-1, 4)",
        "x[:]",
    ):
        assert text in module.code
    assert torch_side.read(module) == graph


def test_one_node_where_onnx_has_one(tmp_path: Path) -> None:
    x = Value("x", ("N", "T", I), "float32")
    for op, nodes in (
        (ops.Slice(items=(ALL, -1)), {"Gather": 1}),
        (ops.Slice(items=(ALL, (1, -1, 1))), {"Slice": 1}),
        (ops.Slice(items=(ALL, (None, None, -2))), {"Slice": 1}),
        (ops.ReshapeTo(shape=(N * T, I)), {"Reshape": 1}),
        (ops.PermuteDims(axes=(2, 0, 1)), {"Transpose": 1}),
        (ops.ExpandDims(axes=(0, 1)), {"Unsqueeze": 1}),
        (ops.Tile(repetitions=(1, 2, 1)), {"Tile": 1}),
        (ops.Pad(widths=((0, 0), (1, 1), (0, 0)), mode="reflect"), {"Pad": 1}),
        (ops.Split(sizes=(1, 3), axis=-1), {"Split": 1}),
        (ops.BroadcastTo(shape=(2, 3, 4)), {"Expand": 1, "Reshape": 1}),
    ):
        outputs = tuple(f"y{number}" for number in range(op.output_count))
        graph = Graph((x,), (Node("y", op, ("x",), outputs),), outputs)
        assert export.write(graph, tmp_path / "m.onnx", overwrite=True).nodes == nodes, op


BOUNDS = (None, 0, 1, -1, 3, -3, 9, -9)
CUTS = [cut for cut in itertools.product(BOUNDS, BOUNDS, (1, 2, -1, -2)) if cut != ALL]


def check_cuts(cuts: Sequence[Cut], folder: Path, both: bool = True) -> None:
    """On an axis that varies, and where its size is known."""
    calls = [(ops.Slice(items=(ALL, cut, cut)), ["x"]) for cut in cuts]
    graph = side_by_side(INPUTS[:1], calls)
    runs = forms(graph, folder)
    cases = [drawn(graph, {"N": 2, "T": steps}) for steps in (5, 1, 0, 3)]
    check_forms(graph, cases, runs if both else {"onnx": runs["onnx"]})


def test_cuts(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    check_cuts([CUTS[number] for number in rng.choice(len(CUTS), 20, replace=False)], tmp_path)


@pytest.mark.sweep
def test_all_cuts(tmp_path: Path) -> None:
    check_cuts(CUTS, tmp_path)


SHORT = {
    "a position": (ops.Slice(items=(ALL, 3)), 4),
    "a position from the end": (ops.Slice(items=(ALL, -3)), 3),
    "parts": (ops.Split(sizes=(2, -1), axis=1), 2),
    "parts that are all": (ops.Split(sizes=(2, 1), axis=1), 3),
    "elements": (ops.Unstack(count=3, axis=1), 3),
    "an edge": (ops.Pad(widths=((0, 0), (1, 0), (0, 0)), mode="edge"), 1),
    "a mirror": (ops.Pad(widths=((0, 0), (0, 2), (0, 0)), mode="reflect"), 3),
}


@pytest.mark.parametrize("name", SHORT)
def test_a_sequence_that_is_too_short(name: str, tmp_path: Path) -> None:
    """Every form computes the shortest one there is, and refuses a shorter one, whoever runs it."""
    op, least = SHORT[name]
    outputs = tuple(f"y{number}" for number in range(op.output_count))
    graph = Graph((Value("x", ("N", "T", 2), "float32"),), (Node("y", op, ("x",), outputs),), outputs)
    long, short = (np.ones((2, steps, 2), "float32") for steps in (least, least - 1))
    module, model = torch_side.write(graph), keras_side.write(graph)
    export.write(graph, tmp_path / "m.onnx")
    session = export.Session(tmp_path / "m.onnx")
    runs = (
        lambda x: torch_side.run(module, [x]),
        lambda x: session.run([x]),
        lambda x: keras_side.run(model, [x], graph),
    )
    for run in runs:
        for one, two in zip(run(long), reference.run(graph, [long], "float32"), strict=True):
            np.testing.assert_array_equal(one, two)
    for run in runs[:2]:
        with pytest.raises(InputError, match="needs"):
            run(short)
    plain = InferenceSession(tmp_path / "m.onnx", providers=["CPUExecutionProvider"])
    for run in (
        lambda: module(torch.tensor(short)),
        lambda: model(short) if least > 1 else runs[2](short),
        lambda: plain.run(None, {"x": short}),
    ):
        with pytest.raises(Exception, match=r"(?s)."):
            run()


def test_a_sequence_that_is_too_long() -> None:
    """Parts that do not make up the whole, or elements left over."""
    for op in (ops.Split(sizes=(2, 1), axis=1), ops.Unstack(count=3, axis=1)):
        outputs = tuple(f"y{number}" for number in range(op.output_count))
        graph = Graph((Value("x", ("N", "T", 2), "float32"),), (Node("y", op, ("x",), outputs),), outputs)
        x = np.ones((2, 4, 2), "float32")
        with pytest.raises(InputError):
            reference.run(graph, [x])
        with pytest.raises(RuntimeError):
            torch_side.write(graph)(torch.tensor(x))
        with pytest.raises(Exception, match="4"):
            keras_side.write(graph)(x)


def test_a_size_promised_to_be_one(tmp_path: Path) -> None:
    graph = Graph(
        (Value("x", ("N", "T", 2), "float32"),), (Node("y", ops.Squeeze(axes=(1,)), ("x",)),), ("y",)
    )
    check_forms(graph, [drawn(graph, {"N": 3, "T": 1})], forms(graph, tmp_path))
    x = np.ones((3, 2, 2), "float32")
    for run in (
        lambda: reference.run(graph, [x]),
        lambda: torch_side.write(graph)(torch.tensor(x)),
        lambda: keras_side.write(graph)(x),
        lambda: export.Session(tmp_path / "operations.onnx").run([x]),
    ):
        with pytest.raises(Exception, match=r"(?s)."):
            run()


@pytest.mark.parametrize(
    "write", [torch_side.write, keras_side.write, export.write], ids=["torch", "keras", "onnx"]
)
def test_sizes_that_no_input_tells(write, tmp_path: Path) -> None:
    nodes = (
        Node("e", ops.ExpandDims(axes=(1,)), ("x",)),
        Node("y", ops.BroadcastTo(shape=(N, length(letter("U") - 1), T, I)), ("e",)),
    )
    graph = Graph(INPUTS[:1], nodes, ("y",))
    arguments = [tmp_path / "m.onnx"] if write is export.write else []
    with pytest.raises(UnsupportedError, match=r"node 'y'.*U-1, of which no input tells U.*N, T"):
        write(graph, *arguments)


def test_parts_of_features_stay_in_the_order_of_the_recurrence(tmp_path: Path) -> None:
    """Between two masked layers no step is moved, and the last step is one of the sequence as it came."""
    rng = np.random.default_rng(0)
    nodes = (
        Node("mask", ops.NotEqual(), ("ids",)),
        Node("below", bidirectional(rng, I, 3, return_sequences=True), ("x",), masks=("mask",)),
        Node("parts", ops.Split(sizes=(3, 3), axis=-1), ("below",), ("one", "two")),
        Node("some", ops.Slice(items=(ALL, ALL, (0, 2, 1))), ("one",)),
        Node("joined", ops.Concatenate(), ("some", "two")),
        Node("above", bidirectional(rng, 5, 2, return_sequences=True), ("joined",), masks=("mask",)),
        Node("last", ops.Slice(items=(ALL, -1)), ("above",)),
        Node("y", dense(rng, 4, 2), ("last",)),
    )
    graph = Graph(
        (Value("x", ("N", "T", I), "float32"), Value("ids", ("N", "T"), "int32")), nodes, ("y", "two")
    )
    written = export.write(graph, tmp_path / "m.onnx", lowering="fused")
    # In once, out for the last step and for the output.
    assert written.nodes["LSTM"] == 2
    ids = np.array([[1, 0, 2, 0], [0, 0, 0, 0], [1, 1, 1, 1]], "int32")
    x = rng.normal(size=(3, 4, I)).astype("float32")
    wanted = reference.run(graph, [x, ids])
    for found in (
        export.Session(tmp_path / "m.onnx").run([x, ids]),
        torch_side.run(torch_side.write(graph), [x, ids]),
        keras_side.run(keras_side.write(graph), [x, ids], graph),
    ):
        for one, two in zip(found, wanted, strict=True):
            np.testing.assert_allclose(one, two, rtol=0, atol=1e-6)


def test_reshapes_behind_each_other_are_layers_of_their_own_in_keras() -> None:
    """As Keras' layers their ops live no longer than it takes to write them, and may have one identity."""
    shapes = [("N", "T*6"), ("N", "T*2", 3), ("N", "T*3", 2), ("N", "T*6", 1)] * 3
    nodes = [
        Node(f"r{at}", ops.ReshapeTo(shape=sizes(shape)), (f"r{at - 1}" if at else "x",))
        for at, shape in enumerate(shapes)
    ]
    graph = Graph((Value("x", ("N", "T", 6), "float32"),), tuple(nodes), tuple(node.name for node in nodes))
    x = np.arange(24, dtype="float32").reshape(2, 2, 6)
    given = keras_side.run(keras_side.write(graph), [x], graph)
    for one, two in zip(given, reference.run(graph, [x]), strict=True):
        assert one.shape == two.shape
        np.testing.assert_array_equal(one, two)
