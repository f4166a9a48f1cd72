"""Whatever goes wrong ends in one message, a known exit code, valid JSON, and nothing left half-written."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

import biport.app.cli as cli
import export
from biport import bundle
from biport.app.cli import app
from biport.app.cli.quiet import quiet_tensorflow
from biport.files import FILE_SUFFIXES
from biport.training import data as training_data
from testing.graphs import classifier

REPOSITORY = Path(__file__).parents[2]


def command(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    graph = classifier(np.random.default_rng(0))
    bundle.write(graph, folder / "b")
    export.write(graph, folder / "m.onnx")
    np.savez(folder / "tokens.npz", tokens=np.array([[1, 2, 3, 0]]))
    return folder


WRITERS: dict[str, list[str]] = {
    name: line.split()
    for name, line in {
        "port onnx": "port B --to onnx -o OUT.onnx --no-verify",
        "port torch": "port B --to torch -o OUT --no-verify",
        "port keras": "port B --to keras -o OUT.keras --no-verify",
        "export": "export B -o OUT.onnx --no-verify",
        "export triton": "export B --triton OUT --no-verify",
        "run": "run M --input TOKENS -o OUT.npz",
        "train": "train tagger --framework torch --limit 8 --epochs 1 -o OUT",
        "bench": "bench B --form fused --batches 1 --steps 3 --seconds 0.001 -o OUT",
        "matrix": "matrix --quick --cell RNN --merge sum --mask right --form torch -o OUT",
    }.items()
}


def filled_in(arguments: list[str], models: Path, output: Path) -> list[str]:
    paths = {"B": models / "b", "M": models / "m.onnx", "TOKENS": models / "tokens.npz"}
    return [str(paths.get(one, one)).replace("OUT", str(output)) for one in arguments]


@pytest.mark.cover(1)
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS], ids=["full", "read-only"])
@pytest.mark.parametrize("writer", WRITERS)
def test_what_cannot_be_written(
    writer: str, number: int, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk shows when a draft takes its place, a folder that nobody may write to when one is made."""
    monkeypatch.setattr(training_data, "EVALUATION_ROWS", 5)
    arguments = [*filled_in(WRITERS[writer], models, tmp_path / "out"), "--json"]

    def failing(original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any, **options: Any) -> Any:
            if any(Path(one).is_relative_to(tmp_path) for one in given if isinstance(one, str | Path)):
                raise OSError(number, os.strerror(number))
            return original(*given, **options)

        return call

    faulty = [(os, "replace"), (Path, "rename")] if number == errno.ENOSPC else [(Path, "mkdir")]
    with monkeypatch.context() as patched:
        for owner, name in faulty:
            patched.setattr(owner, name, failing(getattr(owner, name)))
        result = command(*arguments)
    assert result.exit_code == 2, result.output
    error = json.loads(result.stdout)["error"]
    assert error["kind"] == "FileError"
    assert os.strerror(number) in error["message"]
    assert str(tmp_path / "out") in error["message"]
    assert list(tmp_path.iterdir()) == []


def started(*arguments: str, **more: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "biport", *arguments],
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        stderr=subprocess.PIPE,
        text=True,
        **more,
    )


@pytest.mark.parametrize("arguments", [["layers"], ["layers", "--json"], ["--help"]], ids=" ".join)
def test_standard_output_that_takes_nothing(arguments: list[str]) -> None:
    with open("/dev/full", "w") as full:
        process = started(*arguments, stdout=full)
        said = process.communicate()[1]
    assert process.returncode == 2
    assert said.startswith("error: ")
    assert "No space left on device" in said
    assert "Traceback" not in said


def test_a_pipe_that_nobody_reads() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    process = started("layers", stdout=writer)
    os.close(writer)
    said = process.communicate()[1]
    assert process.returncode == 2
    assert said == "error: standard output: cannot be written: Broken pipe\n"


@pytest.mark.parametrize("name", ["export.py", "export/__init__.py", "keras_side.py", "torch.py"])
def test_a_module_of_the_user_in_place_of_a_package(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("raise RuntimeError\n")
    process = started("layers", "--json", stdout=subprocess.PIPE, cwd=tmp_path)
    out, _ = process.communicate()
    assert process.returncode == 2
    message = json.loads(out)["error"]["message"]
    assert message.startswith(f"{path}: Python imports this in place of the package")
    assert "rename it" in message


def test_a_plain_folder_of_that_name_is_in_nobodys_way(tmp_path: Path) -> None:
    (tmp_path / "export").mkdir()
    process = started("layers", "--json", stdout=subprocess.DEVNULL, cwd=tmp_path)
    process.communicate()
    assert process.returncode == 0


def test_ctrl_c(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("biport.app.support.support_table", interrupt)
    result = command("layers", "--json")
    assert result.exit_code == 130
    assert json.loads(result.stdout)["error"]["message"] == "interrupted"
    assert command("layers").stderr == "interrupted\n"


@pytest.mark.sweep
def test_ctrl_c_while_training_keeps_the_run(tmp_path: Path) -> None:
    arguments = ["train", "tagger", "--framework", "torch", "--epochs", "500", "--json", "-o"]
    process = started(*arguments, str(tmp_path / "run"), stdout=subprocess.PIPE)
    while not (tmp_path / "run" / "recipe.json").exists():
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate()
    assert process.returncode == 130
    assert json.loads(out)["finished"] is False


def test_a_fault_of_biport_is_no_verdict(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    def fail() -> None:
        raise ZeroDivisionError("deep inside")

    monkeypatch.setattr("biport.app.support.support_table", fail)
    monkeypatch.setattr(sys, "argv", ["biport", "layers", "--json"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 4
    out, err = capsys.readouterr()
    assert json.loads(out)["error"] == {"kind": "Fault", "message": "ZeroDivisionError: deep inside"}
    assert "Traceback" in err


USAGE = {
    "no command": ["nothing"],
    "no option": ["layers", "--nothing"],
    "no argument": ["inspect"],
    "no number": ["verify", "a", "b", "--seed", "x"],
    "below 0": ["verify", "a", "b", "--seed", "-1"],
    "no choice": ["port", "a", "--to", "tensorflow", "-o", "b"],
    "no device": ["matrix", "--device", "tpu"],
    "no file": ["inspect", "absent.keras"],
    "a folder": ["run", "M", "--input", "FOLDER"],
    "an empty file": ["inspect", "EMPTY.keras"],
    "two options": ["export", "B", "-o", "x.onnx", "--int8", "--fp16"],
}


@pytest.mark.parametrize("fault", USAGE)
def test_bad_usage(fault: str, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "EMPTY.keras").touch()
    (tmp_path / "FOLDER").mkdir()
    arguments = filled_in(USAGE[fault], models, tmp_path / "out")
    result = command(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    data = json.loads(command(*arguments, "--json").stdout)
    assert result.stderr == f"error: {data['error']['message']}\n"


def test_an_argument_that_looks_like_an_option_is_none(models: Path) -> None:
    result = command("inspect", "--", "--json")
    assert result.stdout == ""
    assert "--json: no such file" in result.stderr


def test_nothing_but_the_document_is_on_standard_output(monkeypatch: pytest.MonkeyPatch) -> None:
    def chatty() -> str:
        print("Downloading data from https://example.org")
        return "table"

    monkeypatch.setattr("biport.app.support.support_table", chatty)
    result = command("layers", "--json")
    assert json.loads(result.stdout)["layers"]
    assert "Downloading" in result.stderr
    assert command("layers").stdout.startswith("table\n")


FOLDERS: dict[str, list[str]] = {
    "port": ["port", "B", "--to", "torch", "-o"],
    "bidirect": ["bidirect", "B", "-o"],
    "export": ["export", "B", "--triton"],
    "train": ["train", "tagger", "--framework", "torch", "-o"],
    "demo": ["demo", "-o"],
    "bench": ["bench", "B", "-o"],
    "matrix": ["matrix", "--quick", "-o"],
    "compare-merges": ["compare-merges", "-o"],
}


@pytest.mark.parametrize("writer", FOLDERS)
def test_a_folder_is_not_called_like_a_file(writer: str, models: Path, tmp_path: Path) -> None:
    for name in ("out.pt", "out.H5", "out.png"):
        result = command(*filled_in(FOLDERS[writer], models, tmp_path), tmp_path / name)
        assert result.exit_code == 2, result.output
        assert "is a folder, not a" in result.stderr
    (tmp_path / "file").write_text("mine")
    result = command(*filled_in(FOLDERS[writer], models, tmp_path), tmp_path / "file")
    assert result.exit_code == 2
    assert "is not a folder" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_text() == "mine"


def test_a_dot_is_no_ending(models: Path, tmp_path: Path) -> None:
    assert ".5" not in FILE_SUFFIXES
    result = command("port", models / "b", "--to", "torch", "-o", tmp_path / "model-1.5", "--no-verify")
    assert result.exit_code == 0, result.output


def test_a_model_that_differs_is_not_kept(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fewer_steps: None
) -> None:
    from biport.app import port
    from biport.app.forms import folder_form, open_form

    def other(path: Path, *graph: Any) -> Any:
        form = folder_form(path, *graph) if graph else open_form(path)
        run: Callable[[Any], Any] = lambda arrays: [array + 0.01 for array in form.run(arrays)]  # noqa: E731
        return type(form)(form.name, run)

    monkeypatch.setattr(port, "open_form", other)
    monkeypatch.setattr(port, "folder_form", other)
    for to, name in (("onnx", "m.onnx"), ("torch", "t"), ("bundle", "b"), ("keras", "m.keras")):
        result = command("port", models / "b", "--to", to, "-o", tmp_path / name)
        assert result.exit_code == 1, result.output
        assert f"{name} was not kept" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_tensorflow_is_loaded_in_silence(tmp_path: Path) -> None:
    """A package of its name, which prints as TensorFlow does; the next one is heard again."""
    for name in ("tensorflow", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(f"import os; os.write(2, b'I0000 {name}\\n'); VALUE = 7")
    code = (
        "import os; os.environ.pop('TF_CPP_MIN_LOG_LEVEL', None)\n"
        "from biport.app.cli.quiet import quiet_tensorflow as quiet\n"
        "quiet(); quiet(); import tensorflow, other\n"
        "assert tensorflow.VALUE == 7 and os.environ['TF_CPP_MIN_LOG_LEVEL'] == '3'"
    )
    paths = os.pathsep.join([str(tmp_path), str(REPOSITORY)])
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == "I0000 other\n"
    finders = len(sys.meta_path)
    quiet_tensorflow()
    # TensorFlow is here already: there is nothing to wait for.
    assert len(sys.meta_path) == finders


def test_the_completion_of_a_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    names = [command.name for command in typer.main.get_command(app).commands.values()]  # type: ignore[attr-defined]
    environment = {"_BIPORT_COMPLETE": "complete_bash", "COMP_WORDS": "biport ver", "COMP_CWORD": "1"}
    result = CliRunner().invoke(app, [], env=environment, prog_name="biport")
    assert result.stdout.split() == [name for name in names if name and name.startswith("ver")] == ["verify"]
