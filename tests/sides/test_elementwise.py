"""Elementwise operations on every side: each function where frameworks are known to differ."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx_ir
import pytest

import export
import keras_side
import torch_side
from biport import ops
from biport.graph import Graph, Node, Value
from biport.ops.elementwise import FUNCTIONS
from biport.reference import run
from testing.graphs import bidirectional, lstm
from testing.masks import valid_steps

Arrays = Sequence[np.ndarray]

FLOATS = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    -0.5,
    1.5,
    -1.5,
    2.5,
    -2.5,
    3.0,
    -3.0,
    1e-5,
    -1e-5,
    0.1,
    -0.1,
    7.25,
    -7.0,
]
INTEGERS = [0, 1, -1, 2, -2, 3, -3, 5, -5, 7, -7, 100, -100]

FINITE = ("floor_divide", "remainder")
"""Functions that are not defined of infinite numbers."""


def function(name: str) -> ops.Elementwise:
    return ops.Elementwise(function=name)


def floats(dtype: str) -> tuple[Graph, Arrays]:
    """Every function of floats, over finite numbers and over their quotients: zeros, infinities, NaN."""
    inputs = (
        Value("x", ("N", 1, 1, "T"), dtype),
        Value("y", ("N", "T", 1, 1), dtype),
        Value("z", ("N", 1, 3, 1), dtype),
    )
    nodes = [Node("special", function("divide"), ("x", "z")), Node("other", function("divide"), ("y", "z"))]
    for name, signature in FUNCTIONS.items():
        if dtype in signature.dtypes:
            nodes.append(Node(name, function(name), ("x", "y")[: signature.inputs]))
            if name not in FINITE:
                nodes.append(Node(f"{name}.of", function(name), ("special", "other")[: signature.inputs]))
    numbers = np.asarray(FLOATS, dtype)
    batch = numbers.reshape(1, 1, 1, -1), numbers.reshape(1, -1, 1, 1), np.asarray([0, 1, -2], dtype)
    return Graph(inputs, tuple(nodes), tuple(node.name for node in nodes)), (
        *batch[:2],
        batch[2].reshape(1, 1, 3, 1),
    )


def whole(dtype: str) -> tuple[Graph, Arrays]:
    """Every function of integers; one does not divide by 0, nor raise to a negative power."""
    x = np.asarray([*INTEGERS, np.iinfo(dtype).max, np.iinfo(dtype).min], dtype)
    y, z = x[x != 0], np.asarray([0, 1, 2, 3, 15, 39, 63], dtype)
    inputs = (
        Value("x", ("N", len(x), 1), dtype),
        Value("y", ("N", 1, len(y)), dtype),
        Value("z", ("N", 1, len(z)), dtype),
    )
    nodes = []
    for name, signature in FUNCTIONS.items():
        if dtype in signature.dtypes:
            second = "z" if name == "pow" else "y"
            nodes.append(Node(name, function(name), ("x", second)[: signature.inputs]))
    batch = x[None, :, None], y[None, None], z[None, None]
    return Graph(inputs, tuple(nodes), tuple(node.name for node in nodes)), batch


def logical() -> tuple[Graph, Arrays]:
    """Every function of booleans, casts from and to every dtype, a choice between booleans."""
    inputs = (
        Value("p", ("N", 2, 1), "bool"),
        Value("q", ("N", 1, 2), "bool"),
        Value("x", ("N", 4, 1), "float32"),
    )
    nodes = [
        Node(name, function(name), ("p", "q")[: signature.inputs])
        for name, signature in FUNCTIONS.items()
        if "bool" in signature.dtypes
    ]
    nodes += [
        Node("where", ops.Where(), ("p", "q", "logical_not")),
        Node("long", ops.Cast(output_dtype="int64"), ("x",)),
    ]
    for source in ("p", "x", "long"):
        nodes += [
            Node(f"{source}.{dtype}", ops.Cast(output_dtype=dtype), (source,))
            for dtype in ("float32", "int32", "int64", "bool")
        ]
    two, four = np.asarray([False, True]), np.asarray([0, -0.75, 2.5, -3], "float32")
    batch = two[None, :, None], two[None, None], four[None, :, None]
    return Graph(inputs, tuple(nodes), tuple(node.name for node in nodes)), batch


def compared(found: Sequence[np.ndarray], graph: Graph, right: Arrays, allowed: float) -> None:
    for name, mine, yours in zip(graph.outputs, found, right, strict=True):
        assert mine.dtype.name == graph.tensors[name].dtype, name
        np.testing.assert_allclose(mine, yours, rtol=allowed, atol=allowed * 1e-3, err_msg=name)


def onnx(graph: Graph, batch: Arrays, folder: Path) -> Sequence[np.ndarray]:
    export.write(graph, folder / "model.onnx", vectors=False)
    return export.Session(folder / "model.onnx").run(batch)


GRAPHS = {"float64": floats, "float32": floats, "int32": whole, "int64": whole}


@pytest.mark.parametrize("dtype", GRAPHS)
def test_every_function_of_numbers(dtype: str, tmp_path: Path) -> None:
    graph, batch = GRAPHS[dtype](dtype)
    right, allowed = run(graph, batch), 1e-12 if dtype == "float64" else 1e-6
    compared(torch_side.run(torch_side.write(graph), batch), graph, right, allowed)
    compared(keras_side.run(keras_side.write(graph), batch, graph), graph, right, allowed)
    if dtype != "float64":
        compared(onnx(graph, batch, tmp_path), graph, right, allowed)


def test_every_function_of_booleans_and_every_cast(tmp_path: Path) -> None:
    graph, batch = logical()
    right = run(graph, batch)
    compared(torch_side.run(torch_side.write(graph), batch), graph, right, 0)
    compared(keras_side.run(keras_side.write(graph), batch, graph), graph, right, 0)
    compared(onnx(graph, batch, tmp_path), graph, right, 0)


def numbers(dtype: str) -> tuple[Graph, Arrays]:
    """Every function of two beside a number on either side, a choice, and limits; float32 has no 0.1."""
    number: np.ndarray = np.asarray(0.1 if dtype.startswith("float") else 3, dtype)
    nodes = [
        Node("number", ops.Constant(value=number), ()),
        Node("less", function("less"), ("x", "number")),
        Node("where", ops.Where(), ("less", "number", "x")),
        Node("clip", ops.Clip(min=-2, max=3), ("x",)),
        Node("clip.low", ops.Clip(min=-2), ("x",)),
        Node("clip.high", ops.Clip(max=1), ("x",)),
        Node("clip.wrong", ops.Clip(min=3, max=-2), ("x",)),
    ]
    for name, signature in FUNCTIONS.items():
        if signature.inputs == 2 and dtype in signature.dtypes and name != "less":
            nodes.append(Node(name, function(name), ("x", "number")))
            if dtype.startswith("float") or name not in ("pow", *FINITE):
                nodes.append(Node(f"{name}.of", function(name), ("number", "x")))
    x = np.asarray(FLOATS if dtype.startswith("float") else INTEGERS, dtype)
    nodes[1:] += [Node("x.number", ops.Cast(output_dtype=dtype), ("x",))]
    graph = Graph((Value("x", ("N", "T"), dtype),), tuple(nodes), tuple(node.name for node in nodes[1:]))
    return graph, [np.stack([x, x[::-1]])]


@pytest.mark.parametrize("dtype", ["float64", "float32", "int32"])
def test_numbers(dtype: str, tmp_path: Path) -> None:
    graph, batch = numbers(dtype)
    right, allowed = run(graph, batch), 1e-14 if dtype == "float64" else 1e-6
    module, model = torch_side.write(graph), keras_side.write(graph)
    compared(torch_side.run(module, batch), graph, right, allowed)
    compared(keras_side.run(model, batch, graph), graph, right, allowed)
    model.save(tmp_path / "model.keras")
    again: Any = keras.saving.load_model(tmp_path / "model.keras")
    compared(keras_side.run(again, batch, graph), graph, right, allowed)
    if dtype != "float64":
        compared(onnx(graph, batch, tmp_path), graph, right, allowed)
    assert torch_side.read(module) == graph
    assert "x * 0.1" in module.code or "x * 3" in module.code


def test_of_nothing(tmp_path: Path) -> None:
    for dtype in ("float32", "int32"):
        graph, (x,) = numbers(dtype)
        export.write(graph, tmp_path / f"{dtype}.onnx")
        session = export.Session(tmp_path / f"{dtype}.onnx")
        for empty in (x[:0], x[:, :0]):
            compared(session.run([empty]), graph, run(graph, [empty]), 0)


def between_layers() -> Graph:
    """Two recurrent layers with operations between them, one of which has a time axis of its own."""
    rng = np.random.default_rng(3)
    inputs = Value("x", ("N", "T", 3), "float32"), Value("mask", ("N", "T"), "bool")
    masked = {"masks": ("mask",)}
    nodes = (
        Node("one", bidirectional(rng, 3, 2, return_sequences=True), ("x",), **masked),
        Node("scale", ops.Parameter(value=np.asarray([0.5, -1.5, 2, 0.1], "float32")), ()),
        Node("tenth", ops.Constant(value=np.asarray(0.1, "float32")), ()),
        Node("scaled", function("multiply"), ("one", "scale")),
        Node("shifted", function("subtract"), ("tenth", "scaled")),
        Node("doubled", function("add"), ("shifted", "scaled")),
        Node("clipped", ops.Clip(min=-0.4), ("doubled",)),
        Node("two", lstm(rng, 4, 3, return_sequences=True), ("clipped",), **masked),
        Node("steps", ops.Constant(value=np.linspace(-1, 1, 6, dtype="float32")[:, None]), ()),
        Node("stepped", function("multiply"), ("two", "steps")),
        Node("three", lstm(rng, 3, 2, return_sequences=True), ("stepped",), **masked),
    )
    return Graph(inputs, nodes, ("two", "three"))


def test_between_layers_steps_stay_where_they_are(tmp_path: Path) -> None:
    graph = between_layers()
    x = np.random.default_rng(4).normal(size=(4, 6, 3)).astype("float32")
    export.write(graph, tmp_path / "model.onnx", lowering="fused")
    session = export.Session(tmp_path / "model.onnx")
    for pattern in ("right", "left", "holes", "full"):
        mask = valid_steps(pattern, 4, 6, np.random.default_rng(5))
        mask[0] = False
        batch = [x, mask]
        compared(session.run(batch), graph, run(graph, batch), 1e-6)
        compared(torch_side.run(torch_side.write(graph), batch), graph, run(graph, batch), 1e-6)
    # Steps move into the first layer and, past what has a time axis of its own, into the last; not out of it.
    moved = [node.name for node in onnx_ir.load(tmp_path / "model.onnx").graph if node.op_type == "Gather"]
    assert moved == ["one/steps/Gather", "two/Gather", "one/steps/Gather_2", "three/Gather"]


def normalised(behind: str) -> Graph:
    """An LSTM behind a quotient by a deviation, which may be 0 if nothing is added to it."""
    inputs = (Value("x", ("N", "T", 3), "float32"),)
    nodes = [
        Node("deviation", ops.Reduction(function="std", axes=(2,), keepdims=True), ("x",)),
        Node("tiny", ops.Constant(value=np.asarray(1e-3, "float32")), ()),
        Node("enough", function("add"), ("deviation", "tiny")),
        Node("quotient", function("divide"), ("x", behind)),
        Node("lstm", lstm(np.random.default_rng(0), 3, 2), ("quotient",)),
    ]
    return Graph(inputs, tuple(nodes), ("lstm",))


@pytest.mark.parametrize("divisor, looped", [("deviation", True), ("enough", False)])
def test_what_may_be_nan_goes_through_a_layer(divisor: str, looped: bool, tmp_path: Path) -> None:
    """The fused node would make numbers of it; where it cannot be NaN, the node stays."""
    graph = normalised(divisor)
    x = np.asarray([[[1, 2, 3], [2, 2, 2]], [[1, 0, -1], [3, 2, 1]], [[0, 0, 0], [1, 2, 3]]], "float32")
    right = run(graph, [x])
    assert np.isnan(right[0]).any() == looped
    written = export.write(graph, tmp_path / "model.onnx")
    compared(export.Session(tmp_path / "model.onnx").run([x]), graph, right, 1e-5)
    assert ("Scan" in written.nodes) == looped
    compared(torch_side.run(torch_side.write(graph), [x]), graph, right, 1e-5)


def test_keras_rounds_a_quotient_before_its_floor() -> None:
    x, y = keras.Input((len(FLOATS),), dtype="float64"), keras.Input((1,), dtype="float64")
    model = keras.Model([x, y], [keras.ops.floor_divide(x, y), keras.ops.mod(x, y)])
    batch = [np.asarray([[*FLOATS]]), np.asarray([[0.1]])]
    right = [np.asarray(output) for output in model(batch)]
    assert right[0][0, 2] == 10
    graph = keras_side.read(model).astype("float64")
    for mine, yours in zip(run(graph, batch), right, strict=True):
        np.testing.assert_allclose(mine, yours, rtol=0, atol=1e-12)


BESIDE = (("N", "T", 7), ("N", 1, 1)), (("N", 1, 5), ("N", 5, 1)), (("N", "T", 7), ("N", "T", 1))
"""What Keras takes for a value and its bias where there are as many rows, or steps, as features."""


@pytest.mark.parametrize("shapes", BESIDE, ids=str)
def test_what_looks_like_a_bias_is_added_along_its_own_axis(shapes: Sequence[Any]) -> None:
    inputs = [Value(name, shape, "float32") for name, shape in zip("ab", shapes, strict=True)]
    every = (function("add"), ops.Add(), ops.Average())
    nodes = [Node(f"{op.kind}.{order}", op, tuple(order)) for op in every for order in ("ab", "ba")]
    graph = Graph(tuple(inputs), tuple(nodes), tuple(node.name for node in nodes))
    model, rng = keras_side.write(graph), np.random.default_rng(7)
    for letters in ({"N": 7, "T": 2}, {"N": 1, "T": 7}, {"N": 2, "T": 3}):
        fixed = [[letters.get(str(dim)) or int(dim) for dim in shape] for shape in shapes]  # type: ignore[arg-type]
        batch = [rng.normal(size=shape).astype("float32") for shape in fixed]
        compared(keras_side.run(model, batch, graph), graph, run(graph, batch), 1e-6)
