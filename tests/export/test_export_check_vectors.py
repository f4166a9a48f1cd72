"""Check vectors in ONNX files: inside or beside, of every kind of file, and none that is damaged."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import export
from biport import ops
from biport.compare.check_vectors import CheckVectors, make_vectors
from biport.compare.tolerance import Verdict
from biport.data import Vocabulary
from biport.errors import FileError
from biport.graph import Graph, Node, Value
from export.check_vectors import DIGEST_KEY, KEY, check_path, read_vectors
from export.deploy.precision import write_precision
from testing.graphs import classifier, dense, embedding, lstm, two_inputs

PATTERNS = ["full", "right", "left", "holes", "all padding", "one step"]


def opened(path: Path) -> tuple[CheckVectors, export.Session]:
    session = export.Session(path, device="cpu", threads=1)
    vectors = read_vectors(path, session.metadata)
    assert vectors is not None
    return vectors, session


def verdict_of(path: Path) -> Verdict:
    vectors, session = opened(path)
    assert list(vectors.inputs) == [value.name for value in session.input_values]
    assert list(vectors.outputs) == session.output_names
    return vectors.judge(session.run).verdict


def edited(source: Path, target: Path, change: Callable[[Any], None]) -> Path:
    model = onnx.load(source)
    change(model)
    onnx.save(model, target)
    return target


def with_property(key: str, value: str) -> Callable[[Any], None]:
    def change(model: Any) -> None:
        properties = {entry.key: entry.value for entry in model.metadata_props} | {key: value}
        del model.metadata_props[:]
        onnx.helper.set_model_props(model, properties)

    return change


def one_weight(name: str) -> Callable[[Any], None]:
    def change(model: Any) -> None:
        (weight,) = [weight for weight in model.graph.initializer if weight.name == name]
        array = onnx.numpy_helper.to_array(weight).copy()
        array.flat[5] += 0.01
        weight.CopyFrom(onnx.numpy_helper.from_array(array, name))

    return change


def wide_graph(rng: np.random.Generator) -> Graph:
    width = 40_000
    node = Node("y", dense(rng, width, 2), ("x",))
    return Graph((Value("x", ("N", "T", width), "float32"),), (node,), ("y",))


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def graph(rng: np.random.Generator) -> Graph:
    return classifier(rng)


def test_a_file_carries_them_and_one_weight_that_is_another_is_seen(graph: Graph, tmp_path: Path) -> None:
    path = export.write(graph, tmp_path / "m.onnx").path
    vectors, session = opened(path)
    assert list(vectors.cases) == PATTERNS
    assert vectors.digest == session.metadata["biport.digest"] == graph.digest()
    assert verdict_of(path) is Verdict.SAME
    for weight in ("bilstm_1/W", "bilstm_1/R", "bilstm_1/B", "head/weight"):
        assert verdict_of(edited(path, tmp_path / "bad.onnx", one_weight(weight))) is Verdict.DIFFERENT, (
            weight
        )
    assert sorted(os.listdir(tmp_path)) == ["bad.onnx", "m.onnx"]


def test_none_where_none_are_wanted(graph: Graph, tmp_path: Path) -> None:
    path = export.write(graph, tmp_path / "m.onnx", vectors=False).path
    assert read_vectors(path, export.Session(path, device="cpu").metadata) is None


def test_inputs_of_several_kinds_fixed_sizes_and_a_contract(rng: np.random.Generator, tmp_path: Path) -> None:
    assert verdict_of(export.write(two_inputs(), tmp_path / "two.onnx").path) is Verdict.SAME
    nodes = (
        Node("table", embedding(rng, 3), ("ids",)),
        Node("masked", lstm(rng, 3, 4, return_sequences=True), ("table",), masks=("mask",)),
        Node("both", ops.Concatenate(), ("masked", "x")),
        Node("lstm", lstm(rng, 6, 3), ("both",), masks=("mask",)),
    )
    kinds = Value("ids", (2, 5), "int64"), Value("x", (2, 5, 2), "float32"), Value("mask", (2, 5), "bool")
    path = export.write(Graph(kinds, nodes, ("lstm", "masked")), tmp_path / "fixed.onnx").path
    vectors, _ = opened(path)
    shapes = {tuple(array.shape for array in case.inputs) for case in vectors.cases.values()}
    assert shapes == {((2, 5), (2, 5, 2), (2, 5))}
    assert [[array.dtype.name for array in case.inputs] for case in vectors.cases.values()] == [
        ["int64", "float32", "bool"]
    ] * 6
    assert verdict_of(path) is Verdict.SAME
    path = export.write(classifier(rng), tmp_path / "right.onnx", contract="right-padded").path
    assert list(opened(path)[0].cases) == ["full", "right", "one step"]
    assert verdict_of(path) is Verdict.SAME


def test_a_file_that_takes_texts_carries_texts(rng: np.random.Generator, tmp_path: Path) -> None:
    words = Vocabulary(("<pad>", "<unk>", *["good", "film", "not", "!", "bad", "the", "of", "and", "a"]))
    graph = classifier(rng)
    path = export.write(
        graph, tmp_path / "m.onnx", vocabulary=words, embed_tokenizer=True, refuse_characters=True
    ).path
    vectors, _ = opened(path)
    assert {array.dtype.kind for case in vectors.cases.values() for array in case.inputs} == {"U"}
    assert verdict_of(path) is Verdict.SAME
    assert verdict_of(edited(path, tmp_path / "bad.onnx", one_weight("bilstm_1/W"))) is Verdict.DIFFERENT


@pytest.mark.parametrize("precision, weight", [("int8", None), ("float16", "bilstm_1/W")])
def test_smaller_numbers_are_allowed_four_times_what_they_cost(
    precision: str, weight: str | None, graph: Graph, tmp_path: Path
) -> None:
    exact = export.write(graph, tmp_path / "exact.onnx").path
    path = write_precision(exact, tmp_path / "small.onnx", precision).path
    vectors, session = opened(path)
    (error,) = vectors.errors(session.run)
    (allowed,) = vectors.allowed
    assert (vectors.precision, vectors.digest, allowed) == (precision, "", pytest.approx(4 * error.maximum))
    assert verdict_of(path) is Verdict.SAME
    np.testing.assert_array_equal(vectors.cases["left"].outputs, opened(exact)[0].cases["left"].outputs)
    if weight is not None:
        wrong = edited(path, tmp_path / "bad.onnx", lambda model: _shifted(model, weight))
        assert verdict_of(wrong) is Verdict.DIFFERENT


def _shifted(model: Any, name: str) -> None:
    (weight,) = [weight for weight in model.graph.initializer if weight.name == name]
    array = onnx.numpy_helper.to_array(weight) + np.float16(0.2)
    weight.CopyFrom(onnx.numpy_helper.from_array(array, name))


def test_large_ones_lie_beside(rng: np.random.Generator, graph: Graph, tmp_path: Path) -> None:
    path, wide = tmp_path / "m.onnx", wide_graph(rng)
    report = export.write(wide, path)
    assert report.check == check_path(path) == tmp_path / "m.onnx.check.npz"
    assert report.as_dict()["check"] == str(report.check)
    assert sorted(os.listdir(tmp_path)) == ["m.onnx", "m.onnx.check.npz"]
    vectors, session = opened(path)
    assert KEY not in session.metadata
    assert verdict_of(path) is Verdict.SAME
    check_path(path).rename(tmp_path / "kept")
    with pytest.raises(FileError, match=r"m\.onnx\.check\.npz, cannot be read \(No such file"):
        opened(path)
    check_path(path).write_bytes(make_vectors(wide, 1).to_bytes())
    with pytest.raises(FileError, match=r"not the check vectors that m\.onnx was written with"):
        opened(path)
    # A file beside is somebody's, and goes with the model that it belongs to.
    path.unlink()
    with pytest.raises(FileError, match=r"m\.onnx\.check\.npz: exists already; use overwrite=True"):
        export.write(graph, path)
    export.write(wide, path, overwrite=True)
    assert opened(path)[0].to_bytes() == vectors.to_bytes() == (tmp_path / "kept").read_bytes()
    assert export.write(graph, path, overwrite=True).check is None
    assert sorted(os.listdir(tmp_path)) == ["kept", "m.onnx"]


def test_a_failure_leaves_what_lies_beside(rng: np.random.Generator, graph: Graph, tmp_path: Path) -> None:
    def refuse(path: Path) -> None:
        assert check_path(path).exists()
        raise FileError("not this one")

    path = export.write(wide_graph(rng), tmp_path / "m.onnx").path
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    with pytest.raises(FileError, match="not this one"):
        export.write(wide_graph(rng), path, overwrite=True, check=refuse)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_what_is_too_large_is_left_out_and_said(rng: np.random.Generator, tmp_path: Path) -> None:
    graph = Graph((Value("x", ("N", 9_000), "int32"),), (Node("e", embedding(rng, 300), ("x",)),), ("e",))
    report = export.write(graph, tmp_path / "m.onnx")
    (note,) = report.notes
    assert note.startswith("the file carries no check vectors: check vectors: bytes=")
    assert os.listdir(tmp_path) == ["m.onnx"]


def test_damaged_ones_and_those_of_another_are_refused(graph: Graph, tmp_path: Path) -> None:
    path, bad = export.write(graph, tmp_path / "m.onnx").path, tmp_path / "bad.onnx"
    whole = base64.b64decode(export.Session(path, device="cpu").metadata[KEY])
    texts = {
        "no base 64 é": r"bad\.onnx: check vectors: are not in base 64",
        base64.b64encode(whole[:-40]).decode(): r"bad\.onnx: check vectors: truncated or damaged",
    }
    for text, message in texts.items():
        edited(path, bad, with_property(KEY, text))
        with pytest.raises(FileError, match=message):
            opened(bad)
        # The model itself runs all the same.
        assert export.Session(bad, device="cpu").run([np.array([[1, 2]], "int32")])[0].shape == (1, 3)
    edited(path, bad, with_property(DIGEST_KEY, "0"))
    assert verdict_of(bad) is Verdict.SAME


def test_empty_models_and_models_without_inputs(tmp_path: Path) -> None:
    node = Node("c", ops.Constant(value=np.arange(3, dtype="float32")), ())
    path = export.write(Graph((), (node,), ("c",)), tmp_path / "m.onnx").path
    assert CheckVectors.from_bytes(
        base64.b64decode({p.key: p.value for p in onnx.load(path).metadata_props}[KEY])
    ).cases


@pytest.mark.parametrize("wide", [False, True])
def test_the_vectors_are_read_without_this_package(
    wide: bool, rng: np.random.Generator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    page = (Path(__file__).parents[2] / "docs/check.md").read_text()
    (code,) = re.findall(r"<!-- without -->\n```python\n(.*?)```", page, re.DOTALL)
    path = export.write(wide_graph(rng) if wide else two_inputs(), tmp_path / "m.onnx").path
    monkeypatch.setattr("sys.argv", ["check", str(path)])
    exec(compile(code, "docs/check.md", "exec"), {})
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert len(lines) == (2 if wide else 12)
    assert all(float(line[-3]) <= float(line[-1]) for line in lines)
