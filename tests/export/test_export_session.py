"""`export.Session`: what it takes, what it refuses, and in which words."""

from __future__ import annotations

import sys

import numpy as np
import onnx
import onnxruntime
import pytest

import export
from biport.errors import FileError, InputError, MissingDependencyError
from biport.graph import Graph, Node, Value
from testing.onnx_graphs import (
    H,
    I,
    V,
    array,
    bidirectional,
    chain,
    dense,
    exported,
    lstm,
    padded_ids,
)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(8)


@pytest.fixture
def session(rng, tmp_path) -> export.Session:
    return exported(chain(rng, bidirectional(rng, I, H, sequences=False)), tmp_path)


def stripped(session: export.Session) -> export.Session:
    """The same file as somebody else would have written it."""
    model = onnx.load(session.path)
    del model.metadata_props[:]
    path = session.path.with_name("foreign.onnx")
    onnx.save(model, path)
    return export.Session(path, device="cpu", threads=1)


def test_describes_itself(session):
    assert session.input_values == [Value("ids", ("N", "T"), "int32")]
    assert session.output_names == ["layer_1"]
    assert session.metadata["biport.route"] == "fused"
    assert session.node_count == str(onnx.load(session.path).graph).count("op_type:")
    assert session.device == "cpu"


def test_takes_inputs_by_order_or_name(rng, tmp_path):
    nodes = (Node("a", dense(rng, I, "relu"), ("x",)), Node("b", dense(rng, 2, "relu"), ("y",)))
    inputs = (Value("x", ("N", I), "float32"), Value("y", ("N", 2), "float32"))
    session = exported(Graph(inputs, nodes, ("b", "a")), tmp_path)
    x, y = array(rng, 3, I), array(rng, 3, 2)
    for one, two in zip(session.run([x, y]), session.run({"y": y, "x": x}), strict=True):
        np.testing.assert_array_equal(one, two)
    with pytest.raises(InputError, match="takes the inputs x, y; found x, z"):
        session.run({"x": x, "z": y})
    with pytest.raises(InputError, match="takes 2 inputs"):
        session.run([x])
    with pytest.raises(InputError, match="list or a mapping"):
        session.run(x)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="different batch sizes"):
        session.run([x, y[:2]])
    with pytest.raises(InputError, match="'x': expected"):
        session.run([x[:, :2], y])


BAD_IDS = [
    (np.ones((2, 3)), "'ids': expected integer ids"),
    (np.full((2, 3), V, "int32"), r"'ids': ids should be in \[0, 13\), found 13"),
    (np.full((2, 3), -1, "int32"), r"'ids': ids should be in \[0, 13\), found -1"),
    (np.ones(3, "int32"), "'ids': expected int32"),
    (np.full((2, 3), 2**40), r"'ids': ids should be in \[0, 13\)"),
]


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("foreign", [False, True])
@pytest.mark.parametrize("ids, message", BAD_IDS)
def test_bad_ids(ids, message, foreign, masked, rng, tmp_path):
    session = exported(chain(rng, lstm(rng, I, H), masked=masked), tmp_path)
    if foreign:
        session = stripped(session)
        assert "biport.inputs" not in session.metadata
    with pytest.raises(InputError, match=message):
        session.run([ids])


def test_int64_ids_become_what_the_model_declares(session, rng):
    ids = padded_ids(rng, "holes")
    np.testing.assert_array_equal(session.run([ids])[0], session.run([ids.astype("int64")])[0])


def test_not_finite(rng, tmp_path):
    graph = Graph((Value("x", ("N", I), "float32"),), (Node("a", dense(rng, I, "relu"), ("x",)),), ("a",))
    with pytest.raises(InputError, match="'x': holds NaN"):
        exported(graph, tmp_path).run([np.full((2, I), np.nan, "float32")])


def test_a_foreign_file_runs_and_is_guarded(session, rng):
    foreign, ids = stripped(session), padded_ids(rng, "holes")
    np.testing.assert_array_equal(foreign.run([ids])[0], session.run([ids])[0])
    assert [a.shape for a in foreign.run([ids[:0]])] == [(0, 2 * H)]
    with pytest.raises(InputError, match=r"foreign\.onnx: found empty inputs"):
        foreign.run([ids[:, :0]])


def test_a_foreign_file_whose_output_sizes_are_unknown(session, rng):
    model = onnx.load(session.path)
    del model.metadata_props[:]
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_param = "unk__7"
    path = session.path.with_name("foreign.onnx")
    onnx.save(model, path)
    with pytest.raises(InputError, match="found empty inputs"):
        export.Session(path, device="cpu", threads=1).run([np.zeros((0, 7), "int32")])


@pytest.mark.parametrize("content", ["empty", "text", "truncated", "bytes"])
def test_files_that_are_not_onnx(content, session):
    whole = session.path.read_bytes()
    contents = {
        "empty": b"",
        "text": b"hello " * 50,
        "truncated": whole[: len(whole) // 2],
        "bytes": bytes(range(256)) * 9,
    }
    path = session.path.with_name("bad.onnx")
    path.write_bytes(contents[content])
    with pytest.raises(FileError, match=r"bad\.onnx: is not an ONNX (file, or is truncated|graph but)"):
        export.Session(path, device="cpu")


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(FileError, match=r"no\.onnx: no such file"):
        export.Session(tmp_path / "no.onnx")
    with pytest.raises(FileError, match="is not an ONNX graph but a folder"):
        export.Session(tmp_path)


def test_an_operator_nobody_knows(session):
    model = onnx.load(session.path)
    model.graph.node[-1].op_type = "Nonsense"
    path = session.path.with_name("odd.onnx")
    onnx.save(model, path)
    with pytest.raises(FileError, match=r"odd\.onnx: onnxruntime cannot load it.*Nonsense"):
        export.Session(path, device="cpu")


@pytest.mark.parametrize(
    "value", ["nonsense", "[{}]", '[{"name": "a", "shape": [], "dtype": "x", "ids": null}]']
)
def test_metadata_that_does_not_fit_the_graph(value, session):
    model = onnx.load(session.path)
    for entry in model.metadata_props:
        if entry.key == "biport.inputs":
            entry.value = value
    path = session.path.with_name("odd.onnx")
    onnx.save(model, path)
    with pytest.raises(FileError, match=r"odd\.onnx: its biport metadata"):
        export.Session(path, device="cpu")


def test_device_and_threads(session, monkeypatch):
    with pytest.raises(InputError, match=r"device=.*should be one of"):
        export.Session(session.path, device="tpu")
    with pytest.raises(InputError, match="threads should be"):
        export.Session(session.path, threads=0)
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(MissingDependencyError, match="pip install onnxruntime-gpu"):
        export.Session(session.path, device="cuda")
    assert export.Session(session.path, device="auto").device == "cpu"


@pytest.mark.skipif(
    "CUDAExecutionProvider" in onnxruntime.get_available_providers(), reason="CUDA may well work here"
)
def test_cuda_that_is_installed_but_does_not_work(session, monkeypatch):
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    with pytest.raises(MissingDependencyError, match="CUDA does not work here"):
        export.Session(session.path, device="cuda")
    with pytest.warns(RuntimeWarning, match="running on the CPU: CUDA does not work here"):
        assert export.Session(session.path, device="auto").device == "cpu"


def test_onnxruntime_missing(session, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingDependencyError, match=r"pip install onnxruntime, or in .* '\.\[cpu\]'"):
        export.Session(session.path, device="cpu")
