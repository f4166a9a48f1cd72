"""Options: one name for one thing, in every command, in its help, its messages and the documentation."""

from __future__ import annotations

import ast
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from biport.app.cli import app
from biport.app.cli.app import EXIT_CODES
from biport.app.cli.names import OPTIONS, PRECISIONS, spelled
from biport.errors import Argument, InputError
from biport.extras import EXTRAS, missing, missing_module

ROOT = Path(__file__).parents[2]
GROUP: Any = typer.main.get_command(app)
COMMANDS: dict[str, Any] = GROUP.commands
PACKAGES = ("biport", "keras_side", "torch_side", "export")


def options(command: Any) -> dict[str, Any]:
    """The options of a command by their long name."""
    return {
        next(name for name in param.opts if name.startswith("--")): param
        for param in command.params
        if param.param_type_name == "option"
    }


def parsed(line: str) -> Any:
    """What a line of the documentation gives a command; nothing is run."""
    program, name, *arguments = shlex.split(line, comments=True)
    assert program == "biport"
    command = COMMANDS[name]
    return command, command.make_context(name, arguments).params


SAME = (
    *("--json", "--output", "--force", "--config", "--seed"),
    *("--resume", "--verify", "--text", "--data", "--device"),
)


@pytest.mark.parametrize("name", SAME)
def test_an_option_is_the_same_in_every_command(name: str) -> None:
    found = [options(command)[name] for command in COMMANDS.values() if name in options(command)]
    assert len(found) > 1
    assert len({(*param.opts, param.is_flag, param.multiple, param.rich_help_panel) for param in found}) == 1


def test_every_command_has_json_and_an_output_is_called_so() -> None:
    assert all("--json" in options(command) for command in COMMANDS.values())
    writing = [name for name, command in COMMANDS.items() if "--output" in options(command)]
    assert {"port", "export", "bidirect", "run", "bench", "matrix", "train", "demo"} <= set(writing)
    reading = {name for name, command in COMMANDS.items() if "--input" in options(command)}
    assert reading == {"verify", "run", "translate", "export"}
    # What a command replaces it replaces with --force; compare-merges goes on with what is there.
    assert {name for name in writing if "--force" not in options(COMMANDS[name])} == {"compare-merges"}


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_a_command(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    shown = CliRunner().invoke(app, [name, "-h"], env={"TERMINAL_WIDTH": "200"})
    assert shown.exit_code == 0
    assert "Examples:" in shown.stdout
    words = " ".join(shown.stdout.split())
    assert f"Exit codes: {EXIT_CODES}" in words
    examples = [line.strip() for line in shown.stdout.splitlines() if line.strip().startswith("biport ")]
    assert examples
    for example in examples:
        assert parsed(example)[0] is COMMANDS[name]
    if len(options(COMMANDS[name])) > 5:
        assert "─ Output ─" in shown.stdout


def test_help_is_shown_unasked() -> None:
    assert CliRunner().invoke(app, []).stdout == CliRunner().invoke(app, ["--help"]).stdout


@pytest.mark.parametrize(
    "line, message",
    [
        ("port x", "Missing option '--to'. Choose from: torch, bundle, keras, onnx; "),
        (
            "port x --to bad",
            "Invalid value for '--to': 'bad' is not one of 'torch', 'bundle', 'keras', 'onnx'; ",
        ),
        ("verify --seed some", "'some'"),
    ],
)
def test_what_the_parser_refuses_is_told_in_a_plain_line(line: str, message: str) -> None:
    refused = CliRunner().invoke(app, line.split())
    assert refused.exit_code == 2
    assert refused.stderr.startswith("error: ")
    assert refused.stderr.count("\n") == 1
    assert message in refused.stderr
    assert not re.search(r"\\|\t|Value error", refused.stderr)


def lines_of(page: str) -> list[str]:
    """The command lines in the code blocks of a page."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", (ROOT / page).read_text(), re.DOTALL | re.MULTILINE)
    lines = [line.removeprefix("$ ") for block in blocks for line in block.splitlines()]
    return [line for line in lines if line.startswith("biport ")]


PAGES = [str(path.relative_to(ROOT)) for path in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("page", [page for page in PAGES if lines_of(page)])
def test_the_command_lines_of_a_page_are_taken(page: str) -> None:
    for line in lines_of(page):
        parsed(line)


def test_inline_command_lines_name_commands_and_options_that_there_are() -> None:
    for page in PAGES:
        for name, rest in re.findall(r"`biport ([a-z][a-z-]*)((?: [^`]*)?)`", (ROOT / page).read_text()):
            assert name in COMMANDS, (page, name)
            known = {name for param in COMMANDS[name].params for name in (*param.opts, *param.secondary_opts)}
            assert set(re.findall(r"--[a-z-]+", rest)) <= known, (page, name, rest)


def test_an_argument_is_spelled_as_the_option_of_the_command() -> None:
    spell = spelled(COMMANDS["export"])
    assert spell(Argument("overwrite", True)) == "--force"
    assert spell(Argument("route", "other")) == "--route other"
    assert spell(Argument("precision", "int8")) == "--int8"
    assert spell(Argument("config")) == "--config"
    assert spell(Argument("units", 3)) == "units=3"
    assert spelled(None)(Argument("overwrite", True)) == "overwrite=True"
    error = InputError("use ", Argument("overwrite", True), " to replace\nit")
    assert str(error) == "use overwrite=True to replace\\nit"
    assert error.told(spell) == "use --force to replace\\nit"


def raised(path: Path) -> Iterator[ast.Call]:
    """Where an error about what a user gave is made."""
    errors = {"InputError", "FileError", "MissingDependencyError", "WeightError", "DifferentError"}
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and getattr(node.func, "id", None) in errors:
            yield node


def texts(node: ast.AST) -> str:
    """The literal parts of a message, as they stand."""
    parts = [one.value for one in ast.walk(node) if isinstance(one, ast.Constant)]
    return " ".join(part for part in parts if isinstance(part, str))


ARGUMENTS = {
    *(name for name in OPTIONS),
    "precision",
    *(name[2:].replace("-", "_") for command in COMMANDS.values() for name in options(command)),
}
"""What a function may call what an option of some command gives."""


@pytest.mark.parametrize("package", PACKAGES)
def test_messages_of_python_name_arguments_and_never_options(package: str) -> None:
    """An argument that an option gives is an `Argument`, which the command line spells as that option."""
    cli = ROOT / "biport" / "app" / "cli"
    guilty = []
    for path in sorted((ROOT / package).rglob("*.py")):
        if path.is_relative_to(cli):
            continue
        for call in raised(path):
            where = f"{path.relative_to(ROOT)}:{call.lineno}"
            # Programs of others have options of their own.
            text = re.sub(r"--gpus all|pip uninstall -y|`iconv[^`]*`", "", texts(call))
            named = {name for name in re.findall(r"\b([a-z_]+)=(?!=)", text) if name in ARGUMENTS}
            if named or re.search(r"(?<![\w-])(--[a-z]|-[a-z]\b)", text):
                guilty.append((where, text))
    assert guilty == []


def test_options_of_the_table_are_those_of_some_command() -> None:
    known = {name for command in COMMANDS.values() for name in options(command)}
    assert {*OPTIONS.values(), *PRECISIONS.values()} <= known


def test_what_to_install_is_what_the_project_declares() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = {
        extra: {re.split(r"[><=\s;]", line)[0] for line in lines}
        for extra, lines in project["optional-dependencies"].items()
    }
    assert {extra: set(packages) for extra, packages in EXTRAS.items()} == {
        extra: packages for extra, packages in declared.items() if extra not in ("all", "dev")
    }
    assert "pip install 'ray[data]', or" in str(missing("x", "ray"))
    assert "pip install onnx onnx-ir tf2onnx, or" in str(missing_module("onnx_ir.passes"))
    assert str(missing_module("h5py")) == "'h5py' is not installed: pip install h5py"
    for path in [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]:
        # biport is on no index.
        assert not re.search(r"pip install [^,;]*biport", path.read_text()), path
