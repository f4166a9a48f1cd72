"""Files with weights in 8 bits: valid, run by onnxruntime, no further off than 8 bits are, and smaller."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest

import export
from biport import ops, reference
from biport.errors import InputError, UnsupportedError
from biport.graph import Graph, Node, Value
from export.deploy import int8 as module
from export.deploy.int8 import METHODS, rounded
from export.deploy.precision import methods_for, write_precision
from export.recurrent import lowering
from testing.graphs import classifier, dense, embedding, normal
from testing.recurrent_graphs import KINDS, both_ways, cell, graph_of, inputs_of

H = 24
"""Wide enough for products of all gates to be computed in 8 bits, with `small_products`."""


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(12)


@pytest.fixture
def small_products(monkeypatch: pytest.MonkeyPatch) -> None:
    """Products of small matrices count, loops begin at 3 rows and groups at 4: models may be small."""
    monkeypatch.setattr(module, "LEAST_PRODUCT", 64)
    monkeypatch.setattr(lowering, "GROUP", (2, 2))
    for kind in module.LOOP_FROM:
        monkeypatch.setitem(module.LOOP_FROM, kind, 3 * H)


def kinds_of(path: Path) -> Counter[str]:
    """The operators of a file, those in branches and loops as well."""
    return Counter(node.op_type for node in ir.load(path).graph.all_nodes())


def narrow(graph: Graph, folder: Path, method: str, calibration: Any = ()) -> export.Session:
    export.write(graph, folder / "exact.onnx", overwrite=True, vectors=False)
    path = folder / f"{method}.onnx"
    write_precision(
        folder / "exact.onnx", path, "int8", method=method, calibration=calibration, overwrite=True
    )
    weights = onnx.load(path).graph.initializer
    wide = [w for w in weights if w.data_type == onnx.TensorProto.FLOAT and np.prod(w.dims) >= 600]
    assert not [w.name for w in wide if not w.name.endswith("scales")], "a weight is left in float32"
    return export.Session(path, device="cpu", threads=1)


def with_rounded_weights(graph: Graph) -> Graph:
    """The same model with the weights that 8 bits leave, a scale for each output channel."""
    nodes = []
    for node in graph.nodes:
        weights = {}
        channel = 1 if isinstance(node.op, ops.TransposedConvolution) else 0
        for name, array in node.op.weights().items():
            numbers, scales = rounded(array, tuple({*range(array.ndim)} - {channel}))
            weights[name] = (numbers * scales).astype("float32") if array.ndim > 1 else array
        nodes.append(dataclasses.replace(node, op=type(node.op).build(node.op.settings(), weights)))
    return dataclasses.replace(graph, nodes=tuple(nodes))


def compare(session: export.Session, graph: Graph, arrays: list[np.ndarray]) -> None:
    """A file that stores 8 bits is the model with rounded weights; one that computes in them is near that."""
    allowed = 2e-5 if session.metadata["biport.int8"] == "weights" else 0.3
    for given, exact in zip(
        session.run(arrays), reference.run(with_rounded_weights(graph), arrays), strict=True
    ):
        assert given.dtype == "float32"
        np.testing.assert_allclose(given, exact, rtol=1e-5, atol=allowed)


@pytest.mark.parametrize("method", ["weights", "dynamic"])
@pytest.mark.parametrize("kind", KINDS)
def test_recurrent_layers_under_masks_and_with_states(
    kind: str, method: str, rng: np.random.Generator, tmp_path: Path, small_products: None
) -> None:
    one, two = (cell(rng, kind, 5, H, return_sequences=True, return_state=True) for _ in range(2))
    graph = graph_of(both_ways(one, two), states=True)
    session = narrow(graph, tmp_path, method)
    found = kinds_of(session.path)
    if kind == "lstm":
        # Over groups of rows, and over all of them.
        assert found["DynamicQuantizeLSTM"] == 2 * (method == "dynamic")
    else:
        # Beside the fused node, the loop for large batches: its products of all gates are one.
        assert found["Scan"] == 2
        inside = {"gru": 1, "gru_before": 2, "rnn": 1}[kind]
        assert found["DynamicQuantizeMatMul"] == 2 * (1 + inside) * (method == "dynamic")
        assert found[both_ways(one, two).forward.kind] == 2
    for mask, N in (("holes", 6), ("all padding", 6), ("right", 1)):
        compare(session, graph, inputs_of(graph, rng, mask, N))
    assert session.run(inputs_of(graph, rng, "full", N=0))[0].shape == (0, 7, 2 * H)


def test_weights_that_are_computed_with_have_no_sign(
    rng: np.random.Generator, tmp_path: Path, small_products: None
) -> None:
    """With one, sums of large products are half of what they should be where a processor has no VNNI."""
    x = np.ones((4, 64), "float32")
    op = ops.Dense(input_size=64, output_size=16, weight=np.ones((16, 64), "float32"), bias=None)
    graph = Graph((Value("x", ("N", 64), "float32"),), (Node("y", op, ("x",)),), ("y",))
    session = narrow(graph, tmp_path, "dynamic")
    np.testing.assert_allclose(session.run([x])[0], 64, rtol=1e-2)
    lstm = graph_of(cell(rng, "lstm", 5, H))
    for node in ir.load(narrow(lstm, tmp_path, "dynamic").path).graph.all_nodes():
        if node.op_type == "DynamicQuantizeLSTM":
            assert {value.dtype for value in node.inputs[1:3] if value} == {ir.DataType.UINT8}


def test_a_row_of_small_numbers_keeps_its_digits(rng: np.random.Generator, tmp_path: Path) -> None:
    weight = normal(rng, 30, 20)
    weight[3] *= 1e-4
    weight[4] = 0
    table = ops.Embedding(num_embeddings=30, embedding_dim=20, weight=weight)
    nodes = Node("rows", table, ("ids",)), Node("y", dense(rng, 20, 2), ("rows",))
    graph = Graph((Value("ids", ("N", "T"), "int32"),), nodes, ("rows", "y"))
    session, ids = narrow(graph, tmp_path, "weights"), np.array([[3, 4, 5]], "int32")
    (rows, _), (exact, _) = session.run([ids]), reference.run(graph, [ids])
    # Half a step, of 127 up to the row's largest.
    steps = np.abs(exact).max(axis=-1, keepdims=True) / 127
    assert (np.abs(rows - exact) <= steps / 2 + 1e-9).all()
    assert session.id_bounds == {"ids": 30}
    compare(session, graph, [ids])


def convolution(rng: np.random.Generator, activation: str, groups: int = 1, **settings: Any) -> Graph:
    op = ops.Conv1D(
        input_size=8, output_size=12, kernel_size=(3,), groups=groups, activation=activation,
        weight=normal(rng, 12, 8 // groups, 3), bias=normal(rng, 12), **settings,
    )  # fmt: skip
    nodes = Node("conv", op, ("x",)), Node("y", dense(rng, 12, 5), ("conv",))
    return Graph((Value("x", ("N", "T", 8), "float32"),), nodes, ("y",))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "settings",
    [
        {"activation": "relu", "padding": "causal", "dilation": 2},
        {"activation": "tanh", "padding": "same", "strides": 2},
        {"activation": "linear", "groups": 2},
    ],
    ids=["causal", "strided", "grouped"],
)
def test_convolutions(
    settings: Any, method: str, rng: np.random.Generator, tmp_path: Path, small_products: None
) -> None:
    graph = convolution(rng, **settings)
    batches = [[rng.normal(size=(4, 9, 8)).astype("float32")] for _ in range(3)]
    session = narrow(graph, tmp_path, method, batches if method == "static" else ())
    operator = "QLinearConv" if method == "static" else "Conv"
    assert kinds_of(session.path)[operator] == 1
    compare(session, graph, batches[1])
    # Rows that no batch showed: a fixed range is the narrower for it, and never wraps around.
    wide = [30 * batches[0][0]]
    (exact,) = reference.run(graph, wide)
    error = np.abs(session.run(wide)[0] - exact).max() / np.abs(exact).max()
    assert (error > 0.2) == (method == "static")
    if settings["activation"] != "linear":
        assert session.run([batches[0][0][:0]])[0].shape[0] == 0


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", ["depthwise", "strided", "transposed"])
def test_convolutions_over_two_axes(
    kind: str, method: str, rng: np.random.Generator, tmp_path: Path, small_products: None
) -> None:
    """A transposed one is stored in 8 bits, and computed in float32."""
    if kind == "transposed":
        settings: Any = {"strides": 2, "dilation": 1, "cropping": ((0, 1), (1, -1))}
        op: ops.Op = ops.Conv2DTranspose(
            input_size=4, output_size=6, groups=2, kernel_size=(3, 3), weight=normal(rng, 4, 3, 3, 3),
            bias=normal(rng, 6), **settings,
        )  # fmt: skip
    else:
        groups = 4 if kind == "depthwise" else 1
        op = ops.Conv2D(
            input_size=4, output_size=8, groups=groups, kernel_size=(3, 3), padding="same",
            strides=(1, 1) if groups > 1 else (2, 2), weight=normal(rng, 8, 4 // groups, 3, 3),
            bias=normal(rng, 8),
        )  # fmt: skip
    nodes = Node("conv", op, ("x",)), Node("y", ops.GlobalAveragePooling2D(), ("conv",))
    graph = Graph((Value("x", ("N", "H", "W", 4), "float32"),), nodes, ("y",))
    batches = [[rng.normal(size=(2, 5, 7, 4)).astype("float32")] for _ in range(3)]
    if kind == "transposed" and method == "static":
        with pytest.raises(UnsupportedError, match=r"ConvTranspose.*supported: Conv"):
            narrow(graph, tmp_path, method, batches)
        return
    session = narrow(graph, tmp_path, method, batches if method == "static" else ())
    assert kinds_of(session.path)["QLinearConv"] == (method == "static")
    compare(session, graph, batches[1])


@pytest.mark.parametrize("method", ["weights", "static"])
@pytest.mark.parametrize("shared", [True, False])
def test_a_normalisation_behind_a_convolution(
    shared: bool, method: str, rng: np.random.Generator, tmp_path: Path, small_products: None
) -> None:
    """It is part of the weights, unless something else reads what is normalised."""
    numbers: dict[str, Any] = {name: normal(rng, 8) for name in ("mean", "weight", "bias")}
    norm = ops.BatchNormalization(size=8, variance=0.5 + normal(rng, 8) ** 2, **numbers)
    convolution = ops.Conv2D(
        input_size=4,
        output_size=8,
        kernel_size=(3, 3),
        padding="same",
        weight=normal(rng, 8, 4, 3, 3),
        bias=None,
    )
    nodes = Node("conv", convolution, ("x",)), Node("norm", norm, ("conv",)), Node("y", ops.ReLU(), ("norm",))
    outputs = ("y", "conv") if shared else ("y",)
    graph = Graph((Value("x", ("N", "H", "W", 4), "float32"),), nodes, outputs)
    batches = [[rng.normal(size=(2, 5, 7, 4)).astype("float32")] for _ in range(3)]
    session = narrow(graph, tmp_path, method, batches if method == "static" else ())
    kinds = kinds_of(session.path)
    assert kinds["Add"] == shared
    assert kinds["Conv" if method == "weights" else "QLinearConv"] == 1
    for given, exact in zip(session.run(batches[0]), reference.run(graph, batches[0]), strict=True):
        assert 0 < np.abs(given - exact).max() / np.abs(exact).max() < 0.02


def test_products_of_one_value_are_one(
    rng: np.random.Generator, tmp_path: Path, small_products: None
) -> None:
    """Whatever is added to them; and a product of two values that vary is left alone."""
    x, z = Value("x", ("N", "T", 16), "float32"), Value("z", ("N", 16, 4), "float32")
    plain = ops.Dense(input_size=16, output_size=7, activation="relu", weight=normal(rng, 7, 16), bias=None)
    nodes = (
        Node("a", dense(rng, 16, 9), ("x",)),
        Node("b", plain, ("x",)),
        Node("c", dense(rng, 9, 3), ("a",)),
        Node("d", ops.MatMul(), ("x", "z")),
    )
    graph = Graph((x, z), nodes, ("a", "b", "c", "d"))
    session = narrow(graph, tmp_path, "dynamic")
    found = kinds_of(session.path)
    assert (found["DynamicQuantizeMatMul"], found["Split"], found["MatMul"]) == (1, 1, 2)
    arrays = [rng.normal(size=(3, 5, 16)).astype("float32"), rng.normal(size=(3, 16, 4)).astype("float32")]
    compare(session, graph, arrays)
    np.testing.assert_allclose(session.run(arrays)[3], arrays[0] @ arrays[1], atol=1e-5)


def test_the_loop_is_what_computes_in_8_bits(
    rng: np.random.Generator, tmp_path: Path, small_products: None
) -> None:
    """Below the batch from which the loop runs, a file that computes gives what one that stores gives."""
    graph = graph_of(cell(rng, "gru", 5, H))
    stored, computed = (narrow(graph, tmp_path, method) for method in ("weights", "dynamic"))
    for N, alike in ((2, True), (3, False)):
        arrays = inputs_of(graph, rng, "holes", N)
        assert np.array_equal(stored.run(arrays)[0], computed.run(arrays)[0]) == alike


def test_one_row_that_is_nan_spoils_no_other(
    rng: np.random.Generator, tmp_path: Path, small_products: None
) -> None:
    """The mean of a row of padding alone: what reads it computes in float32."""
    nodes = (
        Node("rows", embedding(rng, 16), ("ids",)),
        Node("mask", ops.NotEqual(), ("ids",)),
        Node("wide", dense(rng, 16, 16), ("rows",), masks=()),
        Node("mean", ops.GlobalAveragePooling1D(), ("wide",), masks=("mask",)),
        Node("y", dense(rng, 16, 12), ("mean",)),
    )
    graph = Graph((Value("ids", ("N", "T"), "int32"),), nodes, ("y",))
    session = narrow(graph, tmp_path, "dynamic")
    assert kinds_of(session.path)["DynamicQuantizeMatMul"] == 1
    ids = np.array([[1, 2, 3], [0, 0, 0], [2, 2, 0]], "int32")
    (y,) = session.run([ids])
    assert np.isnan(y).any(axis=1).tolist() == [False, True, False]
    np.testing.assert_allclose(y[[0, 2]], reference.run(graph, [ids])[0][[0, 2]], atol=0.1)


def test_a_head_stays_exact_beside_a_large_table(rng: np.random.Generator, tmp_path: Path) -> None:
    table = ops.Embedding(num_embeddings=3000, embedding_dim=20, weight=normal(rng, 3000, 20))
    nodes = Node("rows", table, ("ids",)), Node("y", dense(rng, 20, 2), ("rows",))
    graph = Graph((Value("ids", ("N", "T"), "int32"),), nodes, ("y",))
    session = narrow(graph, tmp_path, "weights")
    kept = [w.name for w in onnx.load(session.path).graph.initializer if w.data_type == 1 and w.dims[0] == 20]
    assert len(kept) == 1
    exact = Graph(graph.inputs, (with_rounded_weights(graph).nodes[0], nodes[1]), ("y",))
    ids = np.array([[1, 2999]], "int32")
    np.testing.assert_allclose(session.run([ids])[0], reference.run(exact, [ids])[0], atol=1e-5)


def test_what_cannot_be_smaller_and_how_it_is_asked_for(rng: np.random.Generator, tmp_path: Path) -> None:
    graph = classifier(rng)
    exact = export.write(graph, tmp_path / "exact.onnx", vectors=False).path
    assert methods_for(exact, calibrated=True) == ["weights", "dynamic"]
    with pytest.raises(UnsupportedError, match=r"static int8.*Conv"):
        write_precision(exact, tmp_path / "no.onnx", "int8", method="static", calibration=[[np.ones((1, 2))]])
    with pytest.raises(InputError, match="weights, dynamic, static"):
        write_precision(exact, tmp_path / "no.onnx", "int8", method="best")
    with_conv = export.write(convolution(rng, "relu"), tmp_path / "conv.onnx", vectors=False).path
    assert methods_for(with_conv, calibrated=True) == ["weights", "static"]
    assert methods_for(with_conv, calibrated=False) == ["weights"]
    with pytest.raises(InputError, match="rows of yours"):
        write_precision(with_conv, tmp_path / "no.onnx", "int8", method="static")
    nothing = Graph((Value("x", ("N", 3), "float32"),), (Node("y", dense(rng, 3, 2), ("x",)),), ("y",))
    path = export.write(nothing, tmp_path / "nothing.onnx", vectors=False).path
    with pytest.raises(UnsupportedError, match="weights of 32 numbers or more"):
        write_precision(path, tmp_path / "no.onnx", "int8")
    assert not (tmp_path / "no.onnx").exists()


def test_scales() -> None:
    numbers, scales = rounded(np.array([[[3.0, -1.0]], [[0.0, 0.0]]], "float32"), axes=(1, 2))
    assert (numbers.dtype, numbers.tolist()) == ("int8", [[[127, -42]], [[0, 0]]])
    np.testing.assert_array_equal(scales, np.array([[[3 / 127]], [[1]]], "float32"))
