"""The numeric core on two old releases of onnxruntime, each in an environment of its own, beside numpy."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import export
from biport import ops
from biport.errors import UnsupportedError
from biport.graph import Graph, Node, Value
from export.deploy.precision import write_precision
from runtimes.cases import difference, trials
from runtimes.remote import EndedError, Remote
from testing.masks import MASKS
from testing.onnx_graphs import bidirectional, chain, padded_ids

ROOT = Path(__file__).parents[2]
RELEASES = ("1.16.3", "1.20.1")
pytestmark = pytest.mark.sweep


@pytest.fixture(scope="module", params=RELEASES)
def remote(request: pytest.FixtureRequest) -> Iterator[Remote]:
    """An old onnxruntime that runs; `make test-runtimes` sees to it that none is left out."""
    python = ROOT / f".venv-onnxruntime-{request.param}" / "bin" / "python"
    if not python.exists():
        if "BIPORT_OLD_RUNTIMES" in os.environ:
            pytest.fail(f"there is no {python}")
        pytest.skip(f"no onnxruntime {request.param}: `make test-runtimes` installs it")
    remote = Remote(python)
    assert remote.versions["onnxruntime"] == request.param
    yield remote
    remote.close()


def short(remote: Remote) -> str:
    """``"1.16"``."""
    return remote.versions["onnxruntime"].rpartition(".")[0]


def test_numeric_core(remote: Remote, tmp_path: Path) -> None:
    """Every op and every recurrent layer, at every size and under every mask: what the oracle gives."""
    path, wrong, count = tmp_path / "model.onnx", [], 0
    for trial in trials():
        export.write(trial.graph, path, overwrite=True, vectors=False, runtime=short(remote))
        names = [value.name for value in trial.graph.inputs]
        session = remote.open(path)
        for case, arrays in trial.inputs.items():
            count += 1
            try:
                outputs = session.run(None, dict(zip(names, arrays, strict=True)))
            except EndedError as error:
                wrong.append(f"{trial.name}, {case}: {error}")
                session = remote.open(path)
            except RuntimeError as error:
                wrong.append(f"{trial.name}, {case}: {error}")
            else:
                differs = difference(trial, case, outputs)
                wrong += [] if differs is None else [f"{trial.name}, {case}: {differs}"]
    assert not wrong, "\n".join(wrong)
    assert count > 3000


def test_the_same_files_in_int8(remote: Remote, tmp_path: Path) -> None:
    """What they cost hangs on the release, so that it is the float32 file they are near."""
    rng = np.random.default_rng(2)
    graph = chain(rng, bidirectional(rng, 5, 3, sequences=False))
    export.write(graph, tmp_path / "a.onnx", runtime=short(remote))
    for precision in ("int8", "float16"):
        write_precision(tmp_path / "a.onnx", tmp_path / "b.onnx", precision, overwrite=True)
        exact, smaller = (remote.open(tmp_path / name) for name in ("a.onnx", "b.onnx"))
        costs = []
        for pattern in MASKS:
            feed = {"ids": padded_ids(rng, pattern)}
            (one,), (two,) = exact.run(None, feed), smaller.run(None, feed)
            costs.append(np.abs(one - two).max())
        assert 0 < max(costs) < 0.05, (precision, costs)


def test_what_a_release_is_spared(remote: Remote, tmp_path: Path) -> None:
    """Written without saying for whom, the file shows the fault: integers' largest, and roots of infinity."""
    whole = Value("x", ("N", "T"), "int64")
    argmax = Graph((whole,), (Node("y", ops.ArgReduction(function="argmax", axis=1), ("x",)),), ("y",))
    export.write(argmax, tmp_path / "a.onnx", vectors=False)
    if short(remote) == "1.16":
        with pytest.raises(RuntimeError, match="ArgMax"):
            remote.open(tmp_path / "a.onnx")
    inputs = tuple(Value(name, ("N", 8), "float32") for name in ("a", "b"))
    nodes = (
        Node("x", ops.Elementwise(function="divide"), ("a", "b")),
        Node("y", ops.Elementwise(function="sqrt"), ("x",)),
    )
    root = Graph(inputs, nodes, ("y",))
    feed = {"a": np.ones((2, 8), "float32"), "b": np.zeros((2, 8), "float32")}
    for runtime, given in ((None, np.isnan), (short(remote), np.isposinf)):
        export.write(root, tmp_path / "b.onnx", overwrite=True, vectors=False, runtime=runtime)
        (y,) = remote.open(tmp_path / "b.onnx").run(None, feed)
        assert given(y).all(), (runtime, y)


def test_newer_versions_are_refused_there(remote: Remote, tmp_path: Path) -> None:
    """The table says what a release takes: one opset and one IR version more it does not open."""
    graph = chain(np.random.default_rng(0), ops.Dropout(rate=0.5), masked=False)
    newest = {"1.16": (19, 9), "1.20": (21, 10)}[short(remote)]
    export.write(graph, tmp_path / "a.onnx", vectors=False, opset=newest[0], ir_version=newest[1])
    remote.open(tmp_path / "a.onnx")
    for opset, ir_version in ((newest[0] + 1, None), (None, newest[1] + 1)):
        export.write(graph, tmp_path / "b.onnx", overwrite=True, opset=opset, ir_version=ir_version)
        with pytest.raises(RuntimeError, match=r"(?i)opset|IR version"):
            remote.open(tmp_path / "b.onnx")
    with pytest.raises(UnsupportedError, match="the newest of onnxruntime"):
        export.write(graph, tmp_path / "b.onnx", overwrite=True, runtime=short(remote), opset=newest[0] + 1)
