"""What lies on disk after an export, and after one that failed."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

import export
from biport import ops
from biport.errors import FileError, GraphError, MissingDependencyError, UnsupportedError
from biport.graph import Graph, Node, Value
from biport.version import __version__
from testing.onnx_graphs import H, I, V, array, bidirectional, chain, dense, exported, lstm, padded_ids, worst
from testing.recurrent_graphs import both_ways, cell, graph_of


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(6)


@pytest.fixture
def graph(rng) -> Graph:
    graph = chain(rng, bidirectional(rng, I, H, sequences=False))
    return Graph(graph.inputs, graph.nodes, graph.outputs, {"framework": "keras", "version": "3.15.1"})


def test_report_and_metadata(graph, tmp_path):
    report = export.write(graph, tmp_path / "model.onnx")
    model = onnx.load(report.path)
    properties = {entry.key: entry.value for entry in model.metadata_props}
    assert (model.producer_name, model.producer_version) == ("biport", __version__)
    assert properties["biport.version"] == __version__
    assert properties["biport.route"] == report.route == "fused"
    assert properties["biport.digest"] == graph.digest()
    assert json.loads(properties["biport.origin"]) == dict(graph.origin)
    assert json.loads(properties["biport.inputs"]) == [
        {"name": "ids", "shape": ["N", "T"], "dtype": "int32", "ids": V}
    ]
    assert model.ir_version == 8
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 18)]
    # Over groups of rows, and over all of them.
    assert report.nodes["LSTM"] == 2
    assert report.bytes == report.path.stat().st_size
    assert json.loads(json.dumps(report.as_dict()))["opset"] == 18
    assert os.listdir(tmp_path) == ["model.onnx"]
    onnx.checker.check_model(str(report.path), full_check=True)


def test_same_graph_same_bytes(graph, tmp_path):
    one, two = (export.write(graph, tmp_path / f"{name}.onnx").path for name in "ab")
    assert one.read_bytes() == two.read_bytes()


def test_refuses_to_overwrite(graph, tmp_path):
    path = tmp_path / "model.onnx"
    path.write_text("mine")
    with pytest.raises(FileError, match=r"model\.onnx: exists already; use overwrite=True"):
        export.write(graph, path)
    assert path.read_text() == "mine"
    export.write(graph, path, overwrite=True)
    onnx.load(path)


@pytest.mark.parametrize("path", ["missing/model.onnx", "folder"])
def test_paths_that_cannot_be_written(path, graph, tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(FileError, match=str(tmp_path)):
        export.write(graph, tmp_path / path, overwrite=True)
    assert os.listdir(tmp_path) == ["folder"]


def test_external_data(graph, rng, tmp_path):
    path = tmp_path / "model.onnx"
    report = export.write(graph, path, external_data_above=100)
    assert sorted(os.listdir(tmp_path)) == ["model.onnx", "model.onnx.data"]
    assert report.data == tmp_path / "model.onnx.data"
    session = export.Session(path, device="cpu", threads=1)
    assert worst(graph, session, padded_ids(rng, "holes")) < 1e-6
    path.unlink()
    with pytest.raises(FileError, match=r"model\.onnx\.data: exists already"):
        export.write(graph, path, external_data_above=100)


def test_missing_external_data(graph, tmp_path):
    path = tmp_path / "model.onnx"
    export.write(graph, path, external_data_above=100)
    (tmp_path / "model.onnx.data").unlink()
    with pytest.raises(FileError, match=r"model\.onnx: onnxruntime cannot load it"):
        export.Session(path, device="cpu", threads=1)


def test_a_failure_leaves_nothing_behind(graph, tmp_path, monkeypatch):
    def fail(*args, **kwargs):
        raise OSError(28, "No space left on device")

    path = tmp_path / "model.onnx"
    path.write_text("mine")
    monkeypatch.setattr("onnx_ir.save", fail)
    with pytest.raises(FileError, match="No space left"):
        export.write(graph, path, overwrite=True)
    assert os.listdir(tmp_path) == ["model.onnx"]
    assert path.read_text() == "mine"


def test_an_invalid_model_is_not_published(graph, tmp_path, monkeypatch):
    monkeypatch.setattr("export.ops.recurrent.MERGES", {"sum": "NoSuchOperator"})
    rng = np.random.default_rng(0)
    bad = chain(rng, bidirectional(rng, I, H, sequences=True, merge="sum"))
    with pytest.raises(GraphError, match="NoSuchOperator"):
        export.write(bad, tmp_path / "model.onnx")
    assert os.listdir(tmp_path) == []


def test_float64_is_refused(graph, tmp_path):
    with pytest.raises(UnsupportedError, match=r'dtype=.float64.*graph\.astype\("float32"\)'):
        export.write(graph.astype("float64"), tmp_path / "model.onnx")
    assert os.listdir(tmp_path) == []


def test_an_op_without_a_writer_is_refused(graph, tmp_path, monkeypatch):
    from export.registry import WRITERS

    monkeypatch.delitem(WRITERS._functions, ops.Bidirectional)
    with pytest.raises(UnsupportedError, match=r"node 'layer_1'.*Bidirectional"):
        export.write(graph, tmp_path / "model.onnx")


def test_one_output_twice_is_refused(rng, tmp_path):
    node = Node("d", dense(rng, I, "linear"), ("x",))
    graph = Graph((Value("x", ("N", I), "float32"),), (node,), ("d", "d"))
    with pytest.raises(UnsupportedError, match="outputs='d'"):
        export.write(graph, tmp_path / "model.onnx")


def test_a_mask_value_that_does_not_fit(rng, tmp_path):
    node = Node("m", ops.NotEqual(value=2**40), ("ids",))
    graph = Graph((Value("ids", ("N", "T"), "int32"),), (node,), ("m",))
    with pytest.raises(UnsupportedError, match="node 'm'"):
        export.write(graph, tmp_path / "model.onnx")


def test_names_with_slashes(rng, tmp_path):
    nodes = (
        Node("x/LSTM:0", lstm(rng, I, H, return_sequences=True), ("x",)),
        Node("x", lstm(rng, H, 2), ("x/LSTM:0",), ("y",)),
    )
    graph = Graph((Value("x", ("N", "T", I), "float32"),), nodes, ("y", "x/LSTM:0"))
    assert worst(graph, exported(graph, tmp_path), array(rng, 2, 4, I)) < 1e-6


def test_importing_export_loads_no_package_it_may_not_need():
    code = "import sys, export; print(sorted(sys.modules.keys() & set(sys.argv[1:])))"
    heavy = ["onnx", "onnx_ir", "onnxruntime", "keras", "tensorflow", "tf2onnx", "torch"]
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code, *heavy], capture_output=True, text=True, cwd=root, timeout=60
    )
    assert done.stdout.strip() == "[]", done.stderr


@pytest.mark.parametrize("package", ["onnx", "onnx_ir"])
def test_a_missing_package_is_named_with_its_remedy(package, graph, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    remedy = rf"(exporting to ONNX|tracing an ONNX file) needs {package}, .*pip install onnx onnx-ir tf2onnx"
    for call in (
        lambda: export.write(graph, tmp_path / "model.onnx"),
        lambda: export.write_decoder(graph, tmp_path / "decoder"),
        lambda: export.trace(tmp_path / "model.onnx", {}, graph),
    ):
        with pytest.raises(MissingDependencyError, match=remedy):
            call()


@pytest.mark.parametrize(("N", "T"), [("N", "T"), (3, "T"), (3, 5)])
def test_no_node_computes_what_is_known_beforehand(N, T, rng, tmp_path):
    one, two = (cell(rng, "gru", I, H, return_sequences=True, return_state=True) for _ in range(2))
    op = both_ways(one, two)
    for contract in (None, "right-padded"):
        export.write(graph_of(op, N=N, T=T), tmp_path / "m.onnx", overwrite=True, contract=contract)
        graph = onnx.load(tmp_path / "m.onnx").graph
        known = {weight.name for weight in graph.initializer}
        assert [node.name for node in graph.node if node.input and known.issuperset(node.input)] == []


def test_equal_weights_are_kept_once(rng, tmp_path):
    """A layer that is called twice, another with the same numbers, and both forms of a layer."""
    layer = dense(rng, I, "tanh")
    nodes = [
        Node("a", layer, ("x",)),
        Node("b", layer, ("y",)),
        Node("c", dataclasses.replace(layer, weight=layer.weight.copy()), ("y",)),
    ]
    inputs = Value("x", ("N", I), "float32"), Value("y", ("N", I), "float32")
    export.write(Graph(inputs, tuple(nodes), ("a", "b", "c")), tmp_path / "m.onnx")
    assert len(onnx.load(tmp_path / "m.onnx").graph.initializer) == 2


PEAK = """
import resource, sys
import numpy as np, onnx, onnx_ir
import export
from biport import ops
from biport.graph import Graph, Node, Value

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

weight = np.ones((400_000, 64), "float32")
table = ops.Embedding(num_embeddings=len(weight), embedding_dim=64, weight=weight)
graph = Graph((Value("ids", ("N", "T"), "int32"),), (Node("e", table, ("ids",)),), ("e",))
before = peak() - weight.nbytes
export.write(graph, sys.argv[1], external_data_above=1000)
print((peak() - before) / weight.nbytes)
"""


@pytest.mark.sweep
def test_a_large_embedding_takes_at_most_twice_its_memory(tmp_path):
    pytest.importorskip("resource")
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", PEAK, str(tmp_path / "m.onnx")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=root, timeout=60)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 2
    assert (tmp_path / "m.onnx.data").stat().st_size >= 400_000 * 64 * 4
