"""``biport info``: what it says is so, and whatever is broken is said and breaks nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from biport.app import info
from biport.app.cli import app
from biport.extras import EXTRAS, remedy


def told(*arguments: str) -> dict[str, Any]:
    result = CliRunner().invoke(app, ["info", "--json", *arguments])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture
def no_child(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without onnxruntime being tried, which takes a process."""
    monkeypatch.setattr(info, "_child", lambda *_: ([{"version": "1", "providers": []}], ""))


def test_what_is_here(monkeypatch: pytest.MonkeyPatch) -> None:
    found = info.gather(environment={"OMP_NUM_THREADS": "3", "HOME": "/"})
    assert found.environment == {"OMP_NUM_THREADS": "3"}
    packages = {package.name: package for package in found.packages}
    assert {name.partition("[")[0] for names in EXTRAS.values() for name in names} <= set(packages)
    assert packages["onnx-ir"].version == metadata.version("onnx-ir")
    assert packages["jinja2"].extras == ["matrix", "report"]
    providers = {one["provider"]: one for one in found.providers}
    assert providers["CPUExecutionProvider"]["works"] is True
    for name, one in providers.items():
        assert one["works"] == (one["problem"] is None), name
    assert found.machine["temporary"]["problem"] is None
    assert found.machine["cores_allowed"] >= 1
    text = found.text
    assert "CPUExecutionProvider" in text
    assert "  yes  ONNX files run" in text
    assert "OMP_NUM_THREADS=3" in text


def test_no_framework_is_imported() -> None:
    names = ("keras", "tensorflow", "torch", "onnx", "onnxruntime", "ray", "pyarrow", "numpy")
    code = (
        "import sys; from biport.app import info; info._providers = lambda _: []; info.gather(); "
        f"print([name for name in {names} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_what_is_missing_or_broken(monkeypatch: pytest.MonkeyPatch, no_child: None) -> None:
    versions = {"torch": None, "keras": "2.15.0", "onnx": "1.20.0", "onnxruntime-gpu": "1.25"}
    original, has = info._version, info._has_module
    monkeypatch.setattr(info, "_version", lambda name: versions.get(name, original(name)))
    monkeypatch.setattr(info, "_has_module", lambda name: name != "onnx" and has(name))
    monkeypatch.setattr(info, "_wanted", lambda: {"keras": "3.15"})
    monkeypatch.setattr(info.tempfile, "gettempdir", lambda: "/proc/nowhere")
    data = told()
    packages = {one["name"]: one for one in data["packages"]}
    assert packages["torch"]["version"] is None
    assert packages["keras"]["problem"] == "is older than 3.15, which biport needs"
    assert packages["onnx"]["problem"] == "is listed as installed, and its files are missing"
    assert "overwrite each other" in packages["onnxruntime"]["problem"]
    tasks = {one["task"].split(";")[0]: one for one in data["tasks"]}
    torch = tasks["PyTorch modules, folders of plain PyTorch"]
    assert (torch["works"], torch["needs"]) == (False, remedy("torch"))
    live = tasks["live Keras models"]
    assert (live["works"], live["needs"]) == (False, "keras is older than 3.15, which biport needs")
    assert tasks["read .keras and .h5 files, bundles"]["works"] is True
    assert "cannot be written to" in data["machine"]["temporary"]["problem"]
    assert CliRunner().invoke(app, ["info"]).stdout.count("  no   ") >= 4


def test_a_process_that_ends_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """The provider it was at when it ended, and the others are still tried."""
    began: list[tuple[str, ...]] = []

    def child(*arguments: str) -> tuple[list[dict[str, Any]], str]:
        names = arguments[2:]
        began.append(names)
        head: dict[str, Any] = {"version": "1", "providers": ["A", "B", "C"]}
        works = [{"provider": name, "works": True, "problem": None} for name in names]
        return ([head, works[0]], "ended with signal 11") if "B" in names else ([head, *works], "")

    monkeypatch.setattr(info, "_child", child)
    results = info._providers([info.Package("onnxruntime", "1")])
    assert began == [(), ("A", "B", "C"), ("C",)]
    assert [(one["provider"], one["problem"]) for one in results] == [
        ("A", None),
        ("B", "ended with signal 11"),
        ("C", None),
    ]
    assert info._providers([info.Package("onnxruntime", None)]) == []


def test_children_that_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    assert info._child("-c", "import os; print('{\"a\": 1}', flush=True); os.kill(os.getpid(), 11)") == (
        [{"a": 1}],
        "ended the process with signal 11",
    )
    lines, problem = info._child("-c", "print('no object'); raise RuntimeError('deep inside')")
    assert (lines, problem) == ([], "RuntimeError: deep inside")
    monkeypatch.setattr(info, "PATIENCE", 0.5)
    lines, problem = info._child("-c", "import time; print('{}', flush=True); time.sleep(20)")
    assert problem == "was not done in 0.5 s"


@pytest.mark.sweep
def test_every_framework_is_imported_where_that_is_asked_for(tmp_path: Path) -> None:
    data = told("--try")
    assert {one["module"] for one in data["imports"]} >= {"keras", "torch", "onnxruntime", "ray"}
    assert [one for one in data["imports"] if not one["works"]] == []
