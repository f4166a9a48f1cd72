"""Where a session runs: what is chosen, looked at, said once, and refused. CUDA itself is played here."""

from __future__ import annotations

import importlib.metadata
import re
import warnings
from functools import partial
from types import SimpleNamespace

import numpy as np
import onnx
import onnxruntime
import pytest

import export
from biport.errors import FileError, MissingDependencyError, UnsupportedError
from export.runtime import opening, providers
from testing.onnx_graphs import H, I, bidirectional, chain, exported, lstm

CPU, CUDA = providers.CPU, providers.CUDA


@pytest.fixture
def session(tmp_path) -> export.Session:
    rng = np.random.default_rng(8)
    return exported(chain(rng, bidirectional(rng, I, H, sequences=False)), tmp_path)


@pytest.fixture(autouse=True)
def fresh(monkeypatch) -> None:
    monkeypatch.setattr(providers, "_warned", set())


class Played:
    """A session of CUDA: the CPU's, with what it says of its providers put in its mouth."""

    def __init__(self, session, placed: dict[str, list[str]], broken: bool = False) -> None:
        self.session, self.placed, self.broken = session, placed, broken

    def __getattr__(self, name: str):
        return getattr(self.session, name)

    def get_providers(self) -> list[str]:
        return [CUDA, CPU]

    def get_provider_graph_assignment_info(self) -> list:
        def nodes(name: str) -> list:
            return [SimpleNamespace(op_type=kind) for kind in self.placed[name]]

        return [SimpleNamespace(ep_name=name, get_nodes=partial(nodes, name)) for name in self.placed]

    def run(self, names, feed):
        if self.broken:
            raise RuntimeError("[ONNXRuntimeError] : 1 : FAIL : CUDNN_STATUS_NOT_SUPPORTED")
        return self.session.run(names, feed)


@pytest.fixture
def play(monkeypatch):
    """Have sessions of CUDA be played."""
    create = providers.create

    def start(placed: dict[str, list[str]], broken: bool = False) -> None:
        def played(path, device, threads):
            session = create(path, "cpu", threads)
            return session if device == "cpu" else Played(session, placed, broken)

        monkeypatch.setattr(opening, "create", played)
        monkeypatch.setattr(opening, "cuda_is_built_in", lambda: True)

    return start


def test_the_cpu_says_what_it_runs(session):
    if not hasattr(onnxruntime.InferenceSession, "get_provider_graph_assignment_info"):
        assert session.placement is None  # before 1.24
        return
    assert session.placement is not None
    assert list(session.placement) == [CPU]
    # Over groups of rows, and over all of them.
    assert session.placement[CPU]["LSTM"] == 2


def test_cuda_that_runs_everything(session, play):
    play({CUDA: ["LSTM", "MatMul"], CPU: ["Shape"]})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for device in ("cuda", "auto"):
            opened = export.Session(session.path, device=device)
            assert opened.device == "cuda"
            assert opened.placement == {CUDA: {"LSTM": 1, "MatMul": 1}, CPU: {"Shape": 1}}


def test_a_recurrent_node_on_the_cpu(session, play):
    play({CUDA: ["MatMul"], CPU: ["LSTM", "Shape", "LSTM"]})
    with pytest.raises(UnsupportedError, match=r"on CUDA: nodes on the CPU=\['LSTM'\] is not supported"):
        export.Session(session.path, device="cuda")
    with pytest.warns(RuntimeWarning, match="runs LSTM on the CPU although the session is one of CUDA"):
        assert export.Session(session.path, device="auto").device == "cuda"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        export.Session(session.path, device="auto")


def test_a_kernel_that_breaks(session, play):
    play({CUDA: ["LSTM"]}, broken=True)
    with pytest.raises(MissingDependencyError, match=r"smallest batch fails .CUDNN_STATUS_NOT_SUPPORTED"):
        export.Session(session.path, device="cuda")
    with pytest.warns(RuntimeWarning, match="running on the CPU: CUDA does not work here"):
        opened = export.Session(session.path, device="auto")
    assert opened.device == "cpu"
    assert opened.run([np.array([[1, 2]])])[0].shape == (1, 2 * H)


def test_a_batch_that_the_cpu_does_not_run_either_proves_nothing(session, play, monkeypatch):
    play({CUDA: ["LSTM"]})
    monkeypatch.setattr(opening, "tiny_batch", lambda *_: "shapes do not go together")
    assert export.Session(session.path, device="cuda").device == "cuda"
    with pytest.raises(FileError, match="cannot run the smallest batch: shapes do not go together"):
        export.Session(session.path, device="cpu")


def test_an_onnxruntime_that_does_not_tell() -> None:
    assert providers.placement(object()) is None
    assert providers.misplaced(None) == []


def test_both_distributions(session, monkeypatch):
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CPU])
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "1.31.1")
    with pytest.raises(MissingDependencyError, match="both installed and have overwritten each"):
        export.Session(session.path, device="cuda")
    with pytest.warns(RuntimeWarning, match="onnxruntime-gpu is installed, but what is imported"):
        assert export.Session(session.path).device == "cpu"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        export.Session(session.path)


@pytest.mark.parametrize(
    "missing, message",
    [
        ("libcuda.so.1", "there is no NVIDIA driver .*--gpus all"),
        ("providers_cuda", r"cuDNN is missing .*libcudnn\.so\.9.*onnxruntime-gpu\[cuda,cudnn\]"),
    ],
)
def test_why_cuda_does_not_work(missing, message, monkeypatch):
    def load(name: str) -> None:
        if missing in name:
            raise OSError("libcudnn.so.9: cannot open shared object file")

    monkeypatch.setattr(providers.ctypes, "CDLL", load)
    assert re.search(message, providers.cuda_trouble(onnxruntime, "left out"))


def test_models_that_need_steps_and_foreign_ones_open(tmp_path):
    rng = np.random.default_rng(8)
    written = exported(chain(rng, lstm(rng, I, H)), tmp_path)
    model = onnx.load(written.path)
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "foreign.onnx")
    foreign = export.Session(tmp_path / "foreign.onnx", device="cpu")
    assert not foreign.masked
    shapes = [a.shape for (a,) in foreign.predict([[1, 2, 3], [4]])]
    assert shapes == [(H,), (H,)]
