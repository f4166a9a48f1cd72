"""`ops.Scan` in ONNX: bodies written by the writers of their ops, against the float64 oracle."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import export
from biport import ops, reference
from biport.compare.tolerance import Verdict
from biport.dims import bound, letter
from biport.errors import UnsupportedError
from biport.graph import Graph, Node, Value, scan_over
from biport.rewrite.steps import step_of
from export.deploy import int8
from export.deploy.precision import write_precision
from testing import scans
from testing.graphs import dense, lstm
from testing.masks import MASKS, valid_steps
from testing.recurrent_graphs import verdicts

SIZES = ((1, 1, 1), (4, 1, 3), (0, 7, 3), (4, 0, 3), (0, 0, 1), (2, 90, 5))
"""N, T and the S of a constant."""


def cases_of(graph: Graph, rng: np.random.Generator) -> dict[str, list[np.ndarray]]:
    """Every pattern of mask, and every size, none included."""
    sizes = [(pattern, 5, 7, 4) for pattern in MASKS] + [("holes", *size) for size in SIZES]
    if not any(value.dtype == "int32" for value in graph.inputs):
        sizes = sizes[len(MASKS) - 1 :]
    return {str(size): inputs_of(graph, rng, *size) for size in sizes}


def inputs_of(
    graph: Graph, rng: np.random.Generator, pattern: str, N: int, T: int, S: int
) -> list[np.ndarray]:
    return [
        valid_steps(pattern, N, T, rng).astype("int32")
        if value.dtype == "int32"
        else rng.normal(size=bound(value.shape, {"N": N, "T": T, "S": S})).astype("float32")
        for value in graph.inputs
    ]


def check(graph: Graph, path: Path, rng: np.random.Generator, **how: Any) -> None:
    export.write(graph, path, overwrite=True, vectors=False, **how)
    verdict_of = verdicts(graph, path, cases_of(graph, rng))
    assert all(verdict is Verdict.SAME for verdict, _ in verdict_of.values()), verdict_of


def settings_of(sequences: bool, reverse: bool, states: bool) -> dict[str, bool]:
    zero = reverse and sequences
    return {
        "return_sequences": sequences,
        "reverse": reverse,
        "return_state": states,
        "zero_output_for_mask": zero,
    }


@pytest.mark.cover(1)
@pytest.mark.parametrize("states", [False, True])
@pytest.mark.parametrize("reverse", [True, False])
@pytest.mark.parametrize("sequences", [False, True])
@pytest.mark.parametrize("name", scans.CELLS)
def test_cells(name: str, sequences: bool, reverse: bool, states: bool, tmp_path: Path) -> None:
    """Masked in one half of the settings, so that any three of the four come in every way."""
    masked = sequences ^ reverse ^ states
    rng = np.random.default_rng(0)
    op = scans.CELLS[name](rng, **settings_of(sequences, reverse, states))
    check(scans.graph_of(op, masked=masked, states=states), tmp_path / "model.onnx", rng)


def check_random(seed: int, path: Path) -> None:
    rng = np.random.default_rng(seed)
    sequences, reverse, states, masked = (bool(flag) for flag in rng.integers(0, 2, 4))
    settings: dict[str, Any] = {**settings_of(sequences, reverse, states)}
    op = scans.random_scan(rng, **settings)
    check(scans.graph_of(op, masked=masked, states=states), path, rng)


@pytest.mark.parametrize("seed", range(2))
def test_random_bodies(seed: int, tmp_path: Path) -> None:
    check_random(seed, tmp_path / "model.onnx")


@pytest.mark.sweep
@pytest.mark.parametrize("seed", range(2, 32))
def test_many_random_bodies(seed: int, tmp_path: Path) -> None:
    check_random(seed, tmp_path / "model.onnx")


def body_of_file(path: Path) -> tuple[list[str], list[str]]:
    """The types of the nodes in the body of the one Scan, and of those outside."""
    nodes = onnx.load(path).graph.node
    (scan,) = (node for node in nodes if node.op_type == "Scan")
    (body,) = (attribute.g for attribute in scan.attribute if attribute.name == "body")
    return [node.op_type for node in body.node], [node.op_type for node in nodes]


def test_only_what_takes_a_state_is_in_the_body(tmp_path: Path) -> None:
    """The keys of the memory are computed once, what x is multiplied by for all steps at once."""
    rng = np.random.default_rng(1)
    body = scans.Body(rng, "float32", memory=("N", "S", 4))
    keys = body.dense("keys", "memory", 4, scans.H)
    most = body("most", ops.Reduction(function="max", axes=(1,)), keys)
    wide = body("norm", ops.UnitNormalization(axes=(-1,)), body.dense("x_h", "x", scans.I, scans.H))
    total = body.function("add", body.function("add", wide, most), body.dense("h_h", "h", scans.H, scans.H))
    h = body.function("tanh", total, name="new")
    graph = scans.graph_of(body.scan({"h": scans.H}, (h, h), return_sequences=True))
    check(graph, tmp_path / "model.onnx", rng)
    inside, outside = body_of_file(tmp_path / "model.onnx")
    assert sorted(inside) == ["Add", "Add", "Gemm", "Tanh", "Where"]
    assert {"ReduceL2", "ReduceMax", "MatMul", "Gemm"} <= set(outside)


def test_a_state_that_is_the_output_is_carried_once(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    for name, count in (("IndRNN", 1), ("attention", 2), ("counter", 2)):
        export.write(
            scans.graph_of(scans.CELLS[name](rng)), tmp_path / "model.onnx", overwrite=True, vectors=False
        )
        (scan,) = (node for node in onnx.load(tmp_path / "model.onnx").graph.node if node.op_type == "Scan")
        assert len(scan.output) == count


def mixing(rng: np.random.Generator) -> ops.Scan:
    body = scans.Body(rng, "float32")
    mean = body("mean", ops.Reduction(function="mean", axes=(0,), keepdims=True), "x")
    less = body.function("subtract", "x", mean)
    h = body.function(
        "tanh", body.function("add", body.dense("wide", less, scans.I, scans.H), "h"), name="new"
    )
    return body.scan({"h": scans.H}, (h, h), return_sequences=True)


def test_rows_that_meet(tmp_path: Path) -> None:
    """Moving the valid steps of each row to the front would have other steps meet."""
    rng = np.random.default_rng(3)
    graph = scans.graph_of(mixing(rng), masked=False)
    check(graph, tmp_path / "model.onnx", rng)
    masked = scans.graph_of(mixing(rng))
    with pytest.raises(UnsupportedError, match=r"node 'cell': mask='where a step makes .* of several rows'"):
        export.write(masked, tmp_path / "masked.onnx")
    export.write(masked, tmp_path / "masked.onnx", contract="right-padded", vectors=False)
    arrays = inputs_of(masked, rng, "right", 4, 6, 1)
    session = export.Session(tmp_path / "masked.onnx", device="cpu", threads=1)
    for one, two in zip(session.run(arrays), reference.run(masked, arrays), strict=True):
        np.testing.assert_allclose(one, two, rtol=0, atol=1e-6)


def test_constants_of_other_rows(tmp_path: Path) -> None:
    """Laid along another axis rows are padded there; of their multiples nobody knows which are which."""
    rng = np.random.default_rng(4)
    for shape in ((4, "N"), ("N*2", 4)):
        body = scans.Body(rng, "float32", given=shape)
        axes = (1, 0) if shape[0] == 4 else (0, 1)
        turned = body("turned", ops.PermuteDims(axes=axes), "given")
        if shape[0] != 4:
            turned = body("part", ops.ReshapeTo(shape=(letter("N"), 8)), turned)
        sizes = 4 if shape[0] == 4 else 8
        total = body.function("add", body.dense("of", turned, sizes, scans.H), "h")
        h = body.function("tanh", total, name="new")
        graph = scans.graph_of(body.scan({"h": scans.H}, (h, h)), masked=False)
        if shape[0] == 4:
            check(graph, tmp_path / "model.onnx", rng)
            continue
        with pytest.raises(UnsupportedError, match=r"node 'cell': constant=.*constants of N rows"):
            export.write(graph, tmp_path / "refused.onnx")


def test_fixed_sizes(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    op = scans.attention_cell(rng, return_sequences=True)
    graph = scans.graph_of(op).at({"N": 2, "T": 3, "S": 4})
    export.write(graph, tmp_path / "model.onnx", vectors=False)
    arrays = inputs_of(graph, rng, "holes", 2, 3, 4)
    (y,) = export.Session(tmp_path / "model.onnx", device="cpu", threads=1).run(arrays)
    np.testing.assert_allclose(y, reference.run(graph, arrays)[0], rtol=0, atol=1e-6)


def test_between_other_layers(tmp_path: Path) -> None:
    """Behind a masked LSTM and in front of one it stays in step form; inside of it a Scan over the memory."""
    rng = np.random.default_rng(6)
    inner = scans.ind_rnn(rng)
    body = scans.Body(rng, "float32", memory=("N", "S", scans.I))
    seen = body("seen", inner, "memory", "h")
    y = body.function("tanh", body.function("add", body.dense("wide", "x", scans.I, scans.H), seen), name="y")
    op = body.scan({"h": scans.H}, (y, y), return_sequences=True)
    below = lstm(rng, 2, scans.I, return_sequences=True)
    above = lstm(rng, scans.H, 1)
    inputs = Value("x", ("N", "T", 2), "float32"), Value("ids", ("N", "T"), "int32")
    nodes = (
        Node("mask", ops.NotEqual(), ("ids",)),
        Node("below", below, ("x",), masks=("mask",)),
        Node("cell", op, ("below", "memory"), masks=("mask", None)),
        Node("above", above, ("cell",), masks=("mask",)),
        Node("y", dense(rng, 1, 4), ("above",)),
    )
    graph = Graph((*inputs, Value("memory", ("N", "S", scans.I), "float32")), nodes, ("y",))
    check(graph, tmp_path / "model.onnx", rng)
    check(graph, tmp_path / "model.onnx", rng, lowering="fused")
    _, outside = body_of_file(tmp_path / "model.onnx")
    assert outside.count("Transpose") == 1 + outside.count("ScatterElements") - 1


def test_every_row_of_a_sequence_of_sequences(tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    node = Node("y", ops.TimeDistributed(layer=scans.peephole_lstm(rng)), ("x",))
    graph = Graph((Value("x", ("N", "T", 3, scans.I), "float32"),), (node,), ("y",))
    check(graph, tmp_path / "model.onnx", rng)


def test_one_unit(tmp_path: Path) -> None:
    rng = np.random.default_rng(8)
    cell = lstm(rng, 1, 1, biases=2, return_sequences=True, return_state=True)
    op = scan_over(step_of(cell), 2, return_sequences=True, return_state=True)
    check(scans.graph_of(op, states=True), tmp_path / "model.onnx", rng)


def test_numbers_inside_that_onnxruntime_does_not_have(tmp_path: Path) -> None:
    rng = np.random.default_rng(9)
    body = scans.Body(rng, "float32")
    wide = body("wide", ops.Cast(output_dtype="float64"), "x")
    h = body("new", ops.Cast(output_dtype="float32"), wide)
    graph = scans.graph_of(body.scan({"h": scans.I}, (h, h)))
    with pytest.raises(UnsupportedError, match="dtype='float64'"):
        export.write(graph, tmp_path / "model.onnx")


def test_a_weight_of_a_step_that_is_another_is_named(tmp_path: Path) -> None:
    rng = np.random.default_rng(10)
    op = scans.peephole_lstm(rng)
    graph = scans.graph_of(op)
    export.write(graph, tmp_path / "model.onnx", vectors=False)
    weights = op.weights()
    weights["body.h_o.weight"] = weights["body.h_o.weight"] + np.float32(0.5)
    wrong = dataclasses.replace(graph["cell"], op=type(op).build(op.settings(), weights))
    other = dataclasses.replace(graph, nodes=(graph["mask"], wrong))
    traced = export.trace(tmp_path / "model.onnx", {"case": inputs_of(graph, rng, "holes", 3, 4, 1)}, other)
    assert traced.remarks == {"cell": ["the initialiser cell/h_o/weight differs"]}


@pytest.mark.sweep
@pytest.mark.parametrize("precision", ["float16", "int8"])
@pytest.mark.parametrize("name", scans.CELLS)
def test_smaller_numbers(name: str, precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for least in ("LEAST_STORED", "LEAST_PRODUCT"):
        monkeypatch.setattr(int8, least, 2)
    rng = np.random.default_rng(11)
    graph = scans.graph_of(scans.CELLS[name](rng, return_sequences=True))
    export.write(graph, tmp_path / "model.onnx", vectors=False)
    if precision == "int8" and name == "counter":
        # No matrix is in it.
        with pytest.raises(UnsupportedError, match="numbers or more"):
            write_precision(tmp_path / "model.onnx", tmp_path / "small.onnx", precision)
        return
    write_precision(tmp_path / "model.onnx", tmp_path / "small.onnx", precision)
    session = export.Session(tmp_path / "small.onnx", device="cpu", threads=1)
    arrays = inputs_of(graph, rng, "holes", 4, 6, 3)
    np.testing.assert_allclose(session.run(arrays)[0], reference.run(graph, arrays)[0], rtol=0, atol=0.1)
    assert session.run([array[:0] for array in arrays])[0].shape[0] == 0
