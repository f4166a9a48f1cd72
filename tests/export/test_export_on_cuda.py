"""`benchmarks/on_cuda.py`, which says what CUDA does, tried on the CPU."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import onnxruntime
import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "on_cuda.py"


@pytest.fixture(scope="module")
def on_cuda() -> ModuleType:
    spec = importlib.util.spec_from_file_location("on_cuda", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["on_cuda"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.skipif(
    "CUDAExecutionProvider" in onnxruntime.get_available_providers(), reason="CUDA may well work here"
)
def test_without_cuda_nothing_passes(on_cuda: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert on_cuda.main([]) == 2
    assert capsys.readouterr().out.startswith("nothing was checked, there is no CUDA here: ")


def test_what_is_not_as_it_should_be_is_a_problem(
    on_cuda: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = on_cuda.recurrent("LSTM", "backwards")
    right = on_cuda.check(graph, "fused", on_cuda.CPU, tmp_path)
    assert right.problems == []
    assert right.ran.keys() == {("LSTM", on_cuda.CPU)}
    opened = on_cuda.opened
    # As if the nodes of a session of CUDA had run on the CPU.
    monkeypatch.setattr(on_cuda, "opened", lambda path, _, profile: opened(path, on_cuda.CPU, profile))
    (astray,) = on_cuda.check(graph, "fused", on_cuda.CUDA, tmp_path).problems
    assert astray == "LSTM did not run on CUDAExecutionProvider"


def test_a_wrong_number_is_a_problem(
    on_cuda: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph, other = (on_cuda.recurrent("RNN", structure) for structure in ("forwards", "backwards"))
    write = on_cuda.export.write
    monkeypatch.setattr(on_cuda.export, "write", lambda _, *given, **rest: write(other, *given, **rest))
    wrong = on_cuda.check(graph, "fused", on_cuda.CPU, tmp_path)
    assert wrong.error > 1
    assert [problem.partition(",")[0] for problem in wrong.problems] == [
        "steps: different",
        "last: different",
    ]


@pytest.mark.sweep
def test_the_cpu_is_right(on_cuda: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert on_cuda.main(["--provider", "cpu", "--quick"]) == 0
    assert capsys.readouterr().out.endswith("all is right\n")
