"""The versions that files say, and sizes that are fixed in them."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnx
import pytest

import biport
import export
from biport import ops
from biport.errors import BiportError, InputError, UnsupportedError
from biport.graph import Graph, Node, Value
from biport.text import Tokenizer
from export.deploy.precision import write_precision
from export.deploy.runtimes import runtimes
from export.onnx.target import target_of
from testing.masks import MASKS
from testing.onnx_graphs import H, I, V, array, bidirectional, chain, lstm, padded_ids, tolerance, worst
from testing.recurrent_graphs import both_ways, cell, graph_of, inputs_of


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(8)


def versions(path: Path) -> tuple[int, int]:
    model = onnx.load(path)
    return model.opset_import[0].version, model.ir_version


def normalized(rng: np.random.Generator) -> Graph:
    """With the operators that opsets spell in different ways."""
    norm = ops.LayerNormalization(axes=(2,), weight=array(rng, 2 * H), bias=None)
    extreme = ops.Reduction(function="max", axes=(2,), keepdims=True)
    apart = bidirectional(rng, 2 * H, H, sequences=True, merge=None)
    graph = chain(rng, bidirectional(rng, I, H, sequences=True), norm, apart)
    nodes = (*graph.nodes, Node("largest", extreme, ("layer_2",)))
    return Graph(graph.inputs, nodes, (*graph.outputs, "largest"))


@pytest.mark.parametrize(("opset", "ir_version"), [(15, 8), (17, 8), (19, 9), (21, 10), (23, 11)])
def test_every_opset_is_written_in_its_own_words(opset, ir_version, rng, tmp_path):
    graph = normalized(rng)
    written = export.write(graph, tmp_path / "m.onnx", opset=opset, vectors=False)
    assert versions(tmp_path / "m.onnx") == (opset, ir_version) == (written.opset, written.ir_version)
    try:
        target_of(opset, runtime=version("onnxruntime"))
    except UnsupportedError as error:
        pytest.skip(f"written, and not run by what is installed: {error}")
    session = export.Session(tmp_path / "m.onnx", device="cpu")
    for kind in ("left", "holes"):
        assert worst(graph, session, padded_ids(rng, kind)) <= 2 * tolerance(graph)


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({}, (18, 8)),
        ({"runtime": "1.16.3"}, (18, 8)),
        ({"runtime": "1.12"}, (17, 8)),
        ({"runtime": "1.10"}, (15, 8)),
        ({"runtime": "9.9"}, (18, 8)),
        ({"runtime": "1.20", "opset": 21}, (21, 10)),
        ({"ir_version": 10}, (18, 10)),
    ],
)
def test_the_oldest_ir_and_what_was_asked_for(options, wanted, rng, tmp_path):
    graph = chain(rng, lstm(rng, I, H))
    export.write(graph, tmp_path / "m.onnx", **options)
    assert versions(tmp_path / "m.onnx") == wanted
    for precision in ("int8", "float16"):
        write_precision(tmp_path / "m.onnx", tmp_path / "s.onnx", precision, overwrite=True)
        assert versions(tmp_path / "s.onnx") == wanted


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"opset": 14}, "opset=14 is not supported; supported: 15 to 23"),
        ({"opset": 20, "runtime": "1.16"}, "up to 19, the newest of onnxruntime 1.16"),
        ({"ir_version": 7}, "8 and newer: opset 18 needs it"),
        ({"ir_version": 10, "runtime": "1.16"}, "up to 9, the newest of onnxruntime 1.16"),
        ({"runtime": "1.9"}, "onnxruntime 1.10 and newer"),
        ({"runtime": "new"}, "should be a release of onnxruntime"),
        ({"ir_version": 99}, "the newest of this onnx"),
        ({"fix_batch": 0}, "N should be fixed to 1 or more, found 0"),
        ({"fix_length": {"S": 3}}, "the model's lengths are T"),
    ],
)
def test_refusals(options, problem, rng, tmp_path):
    with pytest.raises(BiportError, match=problem):
        export.write(chain(rng, lstm(rng, I, H)), tmp_path / "m.onnx", **options)
    assert list(tmp_path.iterdir()) == []


def test_an_operator_that_is_too_new_is_named(rng, tmp_path):
    graph = chain(rng, lstm(rng, I, H), ops.Dropout(rate=0.5))
    words = Tokenizer(tuple(f"w{number}" for number in range(2, V)))
    options = {"vocabulary": words, "embed_tokenizer": True, "vectors": False}
    with pytest.raises(
        UnsupportedError, match="operator='StringSplit' is not supported; supported: opset 20"
    ):
        export.write(graph, tmp_path / "m.onnx", runtime="1.16", **options)
    export.write(graph, tmp_path / "m.onnx", runtime="1.17", **options)
    assert versions(tmp_path / "m.onnx") == (20, 9)
    assert runtimes(tmp_path / "m.onnx").release == "1.17"


def kinds(path: Path) -> list[str]:
    return [node.op_type for node in onnx.load(path).graph.node]


@pytest.mark.parametrize("sizes", [(4, 7), (4, None), (None, 7), (1, 1)])
def test_fixed_sizes(sizes, rng, tmp_path):
    """Every letter is a number, nothing asks for a size that is known, and the numbers are the same."""
    N, T = sizes
    pair = [cell(rng, "gru", I, H, return_sequences=True) for _ in range(2)]
    graph, path = graph_of(both_ways(pair[0], pair[1])), tmp_path / "m.onnx"
    export.write(graph, tmp_path / "free.onnx", vectors=False)
    export.write(graph, path, fix_batch=N, fix_length=T)
    session = export.Session(path, device="cpu")
    shapes = [value.shape[:2] for value in session.input_values]
    assert shapes == [(N or "N", T or "T"), (N or "N", T or "T_2")]
    assert ("Shape" in kinds(path)) == (N is None or T is None)
    assert N is None or "If" not in kinds(path)
    assert len(kinds(path)) <= len(kinds(tmp_path / "free.onnx"))
    for kind in MASKS:
        arrays = inputs_of(graph, rng, kind, N or 3, T or 7)
        assert worst(graph, session, *arrays) <= tolerance(graph)
    if N is not None:
        with pytest.raises(InputError, match="expected float32"):
            session.run(inputs_of(graph, rng, "full", N + 1, T or 7))
    assert biport.verify(graph, path).ok


def test_two_lengths_are_fixed_apart(rng, tmp_path):
    values = (Value("a", ("N", "T", 2), "float32"), Value("b", ("N", "T", 2), "float32"))
    graph = Graph(values, (Node("y", ops.Concatenate(axis=1), ("a", "b")),), ("y",))
    export.write(graph, tmp_path / "m.onnx", fix_length={"T": 5, "T_2": 3})
    session = export.Session(tmp_path / "m.onnx", device="cpu")
    assert [value.shape for value in session.output_values] == [("N", 8, 2)]
    assert worst(graph, session, array(rng, 2, 5, 2), array(rng, 2, 3, 2)) == 0


def test_predict_fills_up(rng, tmp_path):
    graph = chain(rng, bidirectional(rng, I, H, sequences=True), ops.GlobalAveragePooling1D())
    rows = [rng.integers(1, V, length) for length in (9, 3, 1, 5, 9, 8, 2)]
    results = []
    for name, options in {"free": {}, "fixed": {"fix_batch": 4, "fix_length": 9}}.items():
        export.write(graph, tmp_path / f"{name}.onnx", vectors=False, **options)
        session = export.Session(tmp_path / f"{name}.onnx", device="cpu")
        results.append(list(session.predict(rows)))
    for one, two in zip(*results, strict=True):
        np.testing.assert_allclose(one[0], two[0], atol=1e-6)
        np.testing.assert_allclose(one[1], two[1], atol=1e-6)
    fixed = export.Session(tmp_path / "fixed.onnx", device="cpu")
    with pytest.raises(InputError, match="9 steps at most, found 10"):
        list(fixed.predict([np.ones(10, "int32")]))
    unmasked = chain(rng, bidirectional(rng, I, H, sequences=False), masked=False)
    export.write(unmasked, tmp_path / "u.onnx", fix_batch=4, fix_length=9)
    session = export.Session(tmp_path / "u.onnx", device="cpu")
    assert len(list(session.predict([np.ones(9, "int32")] * 5))) == 5
    with pytest.raises(InputError, match="it sees padding"):
        list(session.predict(rows))
