"""What is told on standard error: sentences, or objects, one a line, whatever happens."""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import export
from biport import bundle
from biport.app.cli import app
from biport.app.cli.logs import JsonLine, TextLine
from biport.log import logged
from testing.graphs import classifier

REPOSITORY = Path(__file__).parents[2]
KEYS = ["time", "level", "logger", "message", "fields"]


def command(*arguments: object, **environment: str) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], env=environment)


def objects(text: str) -> list[dict[str, Any]]:
    """Every line as an object, which has what every object has."""
    lines = [json.loads(line) for line in text.splitlines()]
    assert all(list(line) == KEYS for line in lines)
    return lines


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    graph = classifier(np.random.default_rng(0))
    bundle.write(graph, folder / "b")
    export.write(graph, folder / "m.onnx", vectors=False)
    np.savez(folder / "tokens.npz", tokens=np.array([[1, 2, 3, 0]]))
    return folder


class Kept(logging.Handler):
    def __init__(self, records: list[logging.LogRecord]) -> None:
        super().__init__()
        self.records = records

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


def test_libraries_tell_whoever_listens_and_print_nothing(models: Path, capfd: Any, tmp_path: Path) -> None:
    told: list[logging.LogRecord] = []
    handler = Kept(told)
    logger = logging.getLogger("biport")
    export.Session(models / "m.onnx", device="cpu", threads=1)
    logger.addHandler(handler)
    level = logger.level
    logger.setLevel(logging.INFO)
    try:
        graph = bundle.read(models / "b")
        export.Session(models / "m.onnx", device="cpu", threads=1)
        bundle.write(graph, tmp_path / "again")
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
    assert [record.name for record in told] == [
        *("biport.bundle.read", "biport.session", "biport.files", "biport.bundle.write")
    ]
    read, session, wrote, _ = (record.fields for record in told)  # type: ignore[attr-defined]
    assert read["of"] == str(models / "b")
    assert read["nodes"] == len(graph.nodes)
    assert 0 < read["seconds"] < 60
    assert session["device"] == "cpu"
    assert session["providers"] == ["CPUExecutionProvider"]
    assert session["threads"] == 1
    assert wrote["path"] == str(tmp_path / "again")
    assert told[1].getMessage() == f"opened {models / 'm.onnx'} on the CPU"
    assert capfd.readouterr() == ("", "")


def test_the_page_runs(models: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any) -> None:
    monkeypatch.chdir(models)
    (models / "model.onnx").write_bytes((models / "m.onnx").read_bytes())
    page = (REPOSITORY / "docs" / "observe.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    own = logging.getLogger("biport")
    before = [*logging.getLogger().handlers], [*own.handlers], own.level
    try:
        exec(compile("\n".join(blocks), "docs/observe.md", "exec"), {"__name__": "page"})
    finally:
        logging.captureWarnings(False)
        logging.getLogger().handlers, own.handlers = before[0], before[1]
        own.setLevel(before[2])
    out, err = capfd.readouterr()
    assert out == "model.onnx cpu True\n"
    assert err == "biport.session: opened model.onnx on the CPU\n"
    (shown,) = re.findall(r"```json\n(.*?)```", page, re.DOTALL)
    assert list(json.loads(shown)) == KEYS
    assert {row["fields"].keys() >= {"device"} for row in objects(shown)} == {True}


def test_a_function_that_is_told_of_is_the_same_function() -> None:
    @logged("here.double")
    def double(number: int, *, again: bool = False) -> int:
        """Twice."""
        return number * (4 if again else 2)

    assert double(2) == double(number=1, again=True) == 4
    assert (double.__name__, double.__doc__) == ("double", "Twice.")


FAILURES: dict[str, tuple[list[str], int, str]] = {
    "no option": (["layers", "--nothing"], 2, "InputError"),
    "no command": (["nothing"], 2, "InputError"),
    "missing file": (["inspect", "absent.keras"], 2, "FileError"),
    "an array that is none": (["run", "M", "--input", "BAD.npz"], 2, "FileError"),
    "no choice": (["export", "B", "-o", "x.onnx", "--lowering", "x"], 2, "InputError"),
}


@pytest.mark.parametrize("fault", FAILURES)
@pytest.mark.parametrize("where", ["in front", "behind", "environment"])
def test_a_failure_is_an_object(
    fault: str, where: str, models: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "BAD.npz").write_bytes(b"none")
    paths = {"M": models / "m.onnx", "B": models / "b"}
    arguments, code, kind = FAILURES[fault]
    given = [str(paths.get(one, one)) for one in arguments]
    plain = command(*given)
    if where == "environment":
        result = command(*given, BIPORT_LOG="json")
    else:
        result = command(*(["--log-json", *given] if where == "in front" else [*given, "--log-json"]))
    assert (plain.exit_code, result.exit_code) == (code, code)
    assert result.stdout == ""
    last = objects(result.stderr)[-1]
    assert (last["level"], last["logger"]) == ("error", "biport.command")
    assert last["fields"]["exit_code"] == code
    assert last["fields"]["kind"] == kind
    assert plain.stderr == f"error: {last['message']}\n"


def test_the_reasons_of_a_refusal_are_in_the_object(tmp_path: Path) -> None:
    bundle.write(classifier(np.random.default_rng(0)).astype("float64"), tmp_path / "b")
    refused = command("export", tmp_path / "b", "-o", tmp_path / "m.onnx", "--log-json", "--json")
    assert refused.exit_code == 3
    *_, last = objects(refused.stderr)
    assert last["fields"]["reasons"]
    assert json.loads(refused.stdout)["error"] == {
        "kind": last["fields"]["kind"],
        "message": last["message"],
        "reasons": last["fields"]["reasons"],
    }


def test_ctrl_c_is_an_object(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("biport.app.support.support_table", interrupt)
    result = command("layers", "--log-json")
    assert result.exit_code == 130
    (line,) = objects(result.stderr)
    assert (line["message"], line["fields"]["exit_code"]) == ("interrupted", 130)


NOISE = """
import logging, os, signal, sys, warnings
import biport.app.cli as cli
from biport.app import support

def noisy():
    warnings.warn("one\\ntwo", UserWarning)
    print("printed")
    sys.stderr.write("to stderr\\n")
    sys.stderr.flush()
    os.write(2, b"of C: \\xff\\n\\n")
    os.system("echo of a child >&2")
    logging.getLogger("other").warning("of another's logger")
    os.write(2, b"without an end")
    END

support.support_table = noisy
sys.argv = ["biport", "layers", *ARGUMENTS]
cli.main()
"""
SAID = [
    ("py.warnings", "one\ntwo"),
    ("other", "of another's logger"),
    ("stderr", "to stderr"),
    ("stderr", "printed"),
    ("stderr", "of C: \\xff"),
    ("stderr", "of a child"),
    ("stderr", "without an end"),
]


def noise(end: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    code = NOISE.replace("END", end).replace("ARGUMENTS", repr(arguments))
    return subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        errors="backslashreplace",
        check=False,
    )


ENDS = {
    "fault": ('raise ZeroDivisionError("deep inside")', 4, "ZeroDivisionError: deep inside"),
    "interrupted": ("raise KeyboardInterrupt", 130, "interrupted"),
    "terminated": ("os.kill(os.getpid(), signal.SIGTERM)", 143, "terminated"),
    "fine": ("return 'table'", 0, "layers is done"),
}


@pytest.mark.parametrize(
    "end", [end if end == "fault" else pytest.param(end, marks=pytest.mark.sweep) for end in ENDS]
)
def test_every_line_of_a_process_is_an_object_whoever_writes_it(end: str) -> None:
    code, exit_code, message = ENDS[end]
    done = noise(code, "--log-json")
    assert done.returncode == exit_code, done.stderr
    lines = objects(done.stderr)
    assert {(line["logger"], line["message"]) for line in lines} >= set(SAID)
    (last,) = (line for line in lines if line["logger"] == "biport.command")
    assert last["message"] == message
    assert last["fields"]["exit_code"] == exit_code
    if end == "fault":
        assert last["fields"]["kind"] == "Fault"
        assert "in noisy" in last["fields"]["traceback"]
    (warned,) = (line for line in lines if line["logger"] == "py.warnings")
    assert warned["fields"] == {"category": "UserWarning", "file": "<string>", "line": 7}


@pytest.mark.sweep
def test_without_the_option_lines_are_left_as_they_are() -> None:
    done = noise("return 'table'")
    assert done.returncode == 0
    assert "warning: one\ntwo\n" in done.stderr
    assert "to stderr\n" in done.stderr
    assert "of another's logger\n" in done.stderr
    assert "is done" not in done.stderr


def test_a_run_is_told_of(models: Path, tmp_path: Path) -> None:
    arguments = ["run", models / "m.onnx", "--input", models / "tokens.npz", "-o"]
    plain = command(*arguments, tmp_path / "plain.npz")
    assert plain.stderr == ""
    result = command(*arguments, tmp_path / "out.npz", "--json", "--log-json")
    assert json.loads(result.stdout)["outputs"]
    lines = objects(result.stderr)
    assert [line["logger"] for line in lines] == ["biport.session", "biport.files", "biport.command"]
    verbose = command(*arguments, tmp_path / "verbose.npz", "-v")
    first, *_, last = verbose.stderr.splitlines()
    assert first.startswith(f"opened {models / 'm.onnx'} on the CPU (threads ")
    assert last.startswith("run is done (exit_code 0, seconds ")
    assert command("run", "--help").stdout.count("--log-json") == 1


def test_a_style_that_is_none() -> None:
    result = command("layers", BIPORT_LOG="xml")
    assert (result.exit_code, result.stderr) == (2, "error: BIPORT_LOG=xml: should be json or text\n")
    assert command("layers", BIPORT_LOG="text").stderr == ""


def test_what_is_no_json_of_itself() -> None:
    record = logging.LogRecord("a", logging.INFO, "", 0, "%s\ud800", ("é\n",), None)
    record.fields = {"x": float("nan"), "path": Path("/tmp"), 3: [np.float32(1), (True, None)]}
    line = JsonLine().format(record)
    assert line.isascii()
    assert "\n" not in line
    assert json.loads(line)["fields"] == {"x": None, "path": "/tmp", "3": ["1.0", [True, None]]}
    assert TextLine().format(record) == "é\n\ud800 (x nan)"


def test_handlers_are_taken_away_again() -> None:
    before = [*logging.getLogger().handlers], [*logging.getLogger("biport").handlers]
    command("layers", "--log-json", "-v")
    assert before == ([*logging.getLogger().handlers], [*logging.getLogger("biport").handlers])
    assert logging.getLogger("biport").level == logging.NOTSET
