"""Convolutions, pools and what is between them, over one axis to three: numbers and layout."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

import export
from biport import ops, reference
from biport.compare.tolerance import Verdict, float32_floor, judge_float32, measure
from biport.errors import InputError
from biport.graph import Graph, Node, Value
from testing.feature_maps import FAMILIES, LETTERS, batch_norm, conv2d, random_graph, residual_network
from testing.graphs import dense, normal
from testing.onnx_graphs import exported, tolerance, worst

RAW = onnxruntime.SessionOptions()
RAW.log_severity_level, RAW.intra_op_num_threads = 4, 1
SETTINGS = [(family, axes) for family in FAMILIES for axes in (1, 2, 3)]


def judged(graph: Graph, session: export.Session, inputs: dict[str, np.ndarray]) -> None:
    """The same by the policy, shapes included; and what the oracle refuses the session does too."""
    found, exact, narrow = {}, {}, {}
    for case, x in inputs.items():
        try:
            (exact[case],) = reference.run(graph, [x])
        except InputError:
            with pytest.raises(InputError):
                session.run([x])
            continue
        (narrow[case],) = reference.run(graph, [x], "float32")
        (found[case],) = session.run([x])
    errors = measure(found, exact), measure(narrow, exact)
    verdict, allowed = judge_float32(*errors, None, float32_floor(graph))
    assert verdict is not Verdict.DIFFERENT, (errors, allowed, graph)


def fuzz(seed: int, folder: Path) -> None:
    rng = np.random.default_rng(seed)
    family, axes = SETTINGS[seed % len(SETTINGS)]
    graph = random_graph(rng, family, axes, (rng.random(axes) < 0.6).tolist())
    shape = graph.inputs[0].shape
    inputs = {}
    for case in range(4):
        sizes = {letter: int(rng.integers(0, 11)) for letter in LETTERS} | {"N": (2, 1, 3, 0)[case]}
        inputs[str(case)] = normal(rng, *(dim if isinstance(dim, int) else sizes[str(dim)] for dim in shape))
    judged(graph, exported(graph, folder), inputs)


@pytest.mark.parametrize("seed", range(len(SETTINGS)))
def test_random_ops(seed: int, tmp_path: Path) -> None:
    fuzz(seed, tmp_path)


@pytest.mark.sweep
@pytest.mark.parametrize("seed", range(100, 400))
def test_many_random_ops(seed: int, tmp_path: Path) -> None:
    fuzz(seed, tmp_path)


def operators(path: Path) -> Counter[str]:
    return Counter(node.op_type for node in onnx.load(path).graph.node)


def test_features_stay_in_front(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    graph = residual_network(rng)
    session = exported(graph, tmp_path)
    assert operators(session.path)["Transpose"] == 2
    for W in (2, 9):
        assert worst(graph, session, normal(rng, 3, 8, W, 3)) <= tolerance(graph)


def test_what_is_turned_back_is_not_turned(tmp_path: Path) -> None:
    """As torch has it: ``(N, C, H, W)`` from the input to the mean over H, then ``(N, W, C)``."""
    rng = np.random.default_rng(2)
    nodes = (
        Node("last", ops.PermuteDims(axes=(0, 2, 3, 1)), ("x",)),
        Node("conv", conv2d(rng, 3, 4), ("last",)),
        Node("first", ops.PermuteDims(axes=(0, 3, 1, 2)), ("conv",)),
        Node("mean", ops.Reduction(function="mean", axes=(2,), keepdims=True), ("first",)),
        Node("row", ops.Squeeze(axes=(2,)), ("mean",)),
        Node("steps", ops.PermuteDims(axes=(0, 2, 1)), ("row",)),
    )
    graph = Graph((Value("x", ("N", 3, "H", "W"), "float32"),), nodes, ("steps",))
    session = exported(graph, tmp_path)
    assert operators(session.path)["Transpose"] == 1
    assert worst(graph, session, normal(rng, 2, 3, 5, 6)) <= tolerance(graph)


def test_rows_of_images(tmp_path: Path) -> None:
    """Between layers of every step nothing is turned or put together."""
    rng = np.random.default_rng(3)
    layers = (
        conv2d(rng, 3, 4),
        batch_norm(rng, 4),
        ops.ReLU(),
        ops.MaxPooling2D(pool_size=(2, 2), strides=(2, 2)),
        ops.Flatten(),
    )
    nodes, name = [], "x"
    for number, layer in enumerate(layers):
        nodes.append(Node(f"layer_{number}", ops.TimeDistributed(layer=layer), (name,)))
        name = f"layer_{number}"
    graph = Graph((Value("x", ("N", "T", 6, 8, 3), "float32"),), tuple(nodes), (name,))
    session = exported(graph, tmp_path)
    counts = operators(session.path)
    assert (counts["Transpose"], counts["Reshape"]) == (2, 2)
    for N, T in ((2, 3), (0, 3), (2, 0)):
        assert worst(graph, session, normal(rng, N, T, 6, 8, 3)) <= tolerance(graph)


@pytest.mark.parametrize("order", ["both channels first", "one of them"])
def test_sums_of_values_in_two_orders(order: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    other = (
        Node("other", conv2d(rng, 3, 3), ("x",))
        if order.startswith("both")
        else Node("other", ops.Softmax(), ("x",))
    )
    nodes = (
        Node("conv", conv2d(rng, 3, 3), ("x",)),
        other,
        Node("weights", ops.Constant(value=normal(rng, 3)), ()),
        Node("scaled", ops.Elementwise(function="multiply"), ("conv", "weights")),
        Node("sum", ops.Add(), ("scaled", "other")),
        Node("again", conv2d(rng, 3, 2), ("sum",)),
    )
    graph = Graph((Value("x", ("N", 4, "W", 3), "float32"),), nodes, ("again", "sum"))
    session = exported(graph, tmp_path)
    assert worst(graph, session, normal(rng, 2, 4, 5, 3)) <= tolerance(graph)


def test_what_is_too_small_the_file_refuses(tmp_path: Path) -> None:
    """By itself, in an onnxruntime that knows nothing of what the file says of its inputs."""
    rng = np.random.default_rng(5)
    nodes = (
        Node("conv", conv2d(rng, 1, 2), ("x",)),
        Node("pool", ops.MaxPooling2D(pool_size=(2, 3), strides=(1, 1)), ("conv",)),
        Node(
            "made",
            ops.Conv2DTranspose(
                input_size=2,
                output_size=1,
                kernel_size=(2, 2),
                strides=(2, 2),
                dilation=(1, 1),
                cropping=((0, 0), (3, 0)),
                weight=normal(rng, 2, 1, 2, 2),
                bias=None,
            ),
            ("pool",),
        ),
    )
    graph = Graph((Value("x", ("N", "H", "W", 1), "float32"),), nodes, ("made",))
    session = exported(graph, tmp_path)
    raw = onnxruntime.InferenceSession(session.path, RAW, providers=["CPUExecutionProvider"])
    assert worst(graph, session, normal(rng, 1, 2, 4, 1)) <= tolerance(graph)
    for H, W, message in (
        (1, 4, "over 1 elements along axis 1 .* height of node"),
        (2, 3, "over 3 elements along axis 2 .* needs 4 or more, for the width of"),
        (0, 0, "over 0 elements along axis 1"),
    ):
        x = normal(rng, 1, H, W, 1)
        with pytest.raises(InputError, match=message):
            session.run([x])
        with pytest.raises(Exception, match=r"A dimension cannot be less than -1"):
            raw.run(None, {"x": x})


def test_traced_as_the_graph_has_it(tmp_path: Path) -> None:
    rng = np.random.default_rng(6)
    graph = residual_network(rng)
    session = exported(graph, tmp_path)
    x = normal(rng, 2, 8, 6, 3)
    traced = export.trace(session.path, {"case": [x]}, graph)
    assert not traced.notes
    for name in ("conv_1", "sum", "pool", "turned"):
        (wanted,) = reference.run(Graph(graph.inputs, graph.nodes, (name,)), [x])
        np.testing.assert_allclose(traced.values["case"][name], wanted, atol=1e-5)


@pytest.mark.parametrize("between", [ops.ReLU(), ops.Permute(dims=(1, 2))], ids=["relu", "nothing"])
@pytest.mark.parametrize("product", ["dense", "matmul"])
def test_products_behind_a_convolution(product: str, between: ops.Op, tmp_path: Path) -> None:
    """Over no rows as well, where onnxruntime would fail over a transposition and a product in one."""
    rng = np.random.default_rng(7)
    convolution = ops.Conv1D(
        input_size=3,
        output_size=4,
        kernel_size=(3,),
        padding="same",
        weight=normal(rng, 4, 3, 3),
        bias=normal(rng, 4),
    )
    last = (
        Node("y", dense(rng, 4, 5), ("between",))
        if product == "dense"
        else Node("y", ops.MatMul(), ("between", "weight"))
    )
    nodes = (
        Node("conv", convolution, ("x",)),
        Node("between", between, ("conv",)),
        Node("weight", ops.Constant(value=normal(rng, 4, 5)), ()),
        last,
    )
    graph = Graph((Value("x", ("N", "T", 3), "float32"),), nodes, ("y",))
    session = exported(graph, tmp_path)
    for N in (2, 0):
        assert worst(graph, session, normal(rng, N, 6, 3)) <= tolerance(graph)


def over_axes(rng: np.random.Generator, axis: int) -> Iterator[ops.Op]:
    """Ops of ``(N, 4, 5, 6)`` that treat one of the axes as no other."""
    size = (4, 5, 6)[axis - 1]
    weights: dict[str, Any] = {name: normal(rng, size) for name in ("weight", "bias")}
    spread = 0.5 + normal(rng, size) ** 2
    yield ops.BatchNormalization(size=size, axis=axis, mean=normal(rng, size), variance=spread, **weights)
    yield ops.LayerNormalization(axes=(axis,), epsilon=0.1, **weights)
    yield ops.GroupNormalization(groups=size, axis=axis, epsilon=0.1, **weights)
    yield ops.GroupNormalization(groups=1, axis=axis, epsilon=0.1, weight=None, bias=None)
    yield ops.Normalization(axes=(axis,), mean=normal(rng, size), variance=spread)
    yield ops.UnitNormalization(axes=(axis,))
    yield ops.Softmax(axis=axis)
    yield ops.PReLU(
        alpha=normal(rng, *(own if at == axis else 1 for at, own in enumerate((4, 5, 6), start=1)))
    )
    yield ops.PReLU(alpha=normal(rng, 4, 5, 6))
    yield ops.Reduction(function="max", axes=(axis,), keepdims=axis == 2)
    yield ops.Reduction(function="var", axes=(axis, 0), keepdims=False)
    yield ops.Concatenate(axis=axis)
    yield ops.Rescaling(scale=(0.5, 2.0, 1.0, 3.0, 1.5, 1.0), offset=0.25)


@pytest.mark.parametrize("axis", [1, 2, 3])
def test_axes_of_what_has_channels_first(axis: int, tmp_path: Path) -> None:
    """The axis that the graph means, wherever it is, between two convolutions."""
    rng = np.random.default_rng(8)
    for op in over_axes(rng, axis):
        names = ("conv", "other") if isinstance(op, ops.Concatenate) else ("conv",)
        nodes = [
            Node("conv", conv2d(rng, 3, 6), ("x",)),
            Node("other", conv2d(rng, 3, 6), ("x",)),
            Node("between", op, names),
            Node("y", ops.Activation(function="tanh"), ("between",)),
        ]
        graph = Graph((Value("x", ("N", 4, 5, 3), "float32"),), tuple(nodes), ("y", "between"))
        session = exported(graph, tmp_path)
        for N in (2, 1):
            assert worst(graph, session, normal(rng, N, 4, 5, 3)) <= 4 * tolerance(graph), op
