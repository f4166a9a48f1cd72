"""The storeys: who may import what, by lint, by import graph, and seen from outside in a fresh process."""

import ast
import functools
import json
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("biport", "keras_side", "torch_side", "export")
FRAMEWORKS = {"keras", "tensorflow", "torch", "onnx", "onnx_ir", "onnxruntime", "tf2onnx", "ray"}
SIDES = {"keras_side", "torch_side", "export"}


def modules(root: Path = ROOT) -> dict[str, Path]:
    """Every module of the four packages, by its dotted name."""
    files = [path for package in PACKAGES for path in (root / package).rglob("*.py")]
    return {
        ".".join(file.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): file
        for file in files
    }


@functools.cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@functools.cache
def imports(path: Path) -> tuple[str, ...]:
    """The dotted names that a file imports anywhere: at the top, in functions, for type checking."""
    names: list[str] = []
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            names += (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names += (f"{node.module}.{alias.name}" for alias in node.names)
    return tuple(names)


def targets(name: str, path: Path, known: Mapping[str, Path]) -> set[str]:
    """The modules of this project that a file imports; ``from biport import bundle`` is ``biport.bundle``."""
    found = set()
    for imported in imports(path):
        parts = imported.split(".")
        candidates = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
        module = next((candidate for candidate in candidates if candidate in known), None)
        if module is not None and module != name:
            found.add(module)
    return found


def room(name: str, path: Path) -> str:
    """A folder is a room; what stands directly in one of the packages is a room of its own."""
    folder = name if path.name == "__init__.py" else name.rpartition(".")[0]
    return name if folder in PACKAGES else folder


def cycle(graph: Mapping[str, set[str]]) -> list[str]:
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return error.args[1]
    return []


@functools.cache
def by_file(root: Path = ROOT) -> dict[str, set[str]]:
    known = modules(root)
    return {name: targets(name, path, known) for name, path in known.items()}


def by_room(root: Path = ROOT) -> dict[str, set[str]]:
    known = modules(root)
    rooms: dict[str, set[str]] = {}
    for name, found in by_file(root).items():
        own = room(name, known[name])
        rooms.setdefault(own, set()).update({room(other, known[other]) for other in found} - {own})
    return rooms


def test_folders_have_no_circle() -> None:
    assert cycle(by_room()) == []


def test_files_have_no_circle() -> None:
    assert cycle(by_file()) == []


def test_a_circle_is_found(tmp_path: Path) -> None:
    for folder, code in {
        "one": "from biport.two import b",
        "two": "def f():\n    import biport.one.x",
    }.items():
        (tmp_path / "biport" / folder).mkdir(parents=True)
        (tmp_path / "biport" / folder / "__init__.py").write_text("")
        (tmp_path / "biport" / folder / "x.py").write_text(f"{code}\n")
    assert sorted(set(cycle(by_room(tmp_path)))) == ["biport.one", "biport.two"]


@pytest.mark.parametrize("package", PACKAGES)
def test_nothing_inside_comes_in_by_the_front_door(package: str) -> None:
    """A package's ``__init__`` is for those outside; inside, names come from where they are."""
    assert [
        name for name, found in by_file().items() if package in found and name.startswith(f"{package}.")
    ] == []


def test_only_the_roof_names_the_sides() -> None:
    known = modules()
    up = {
        name: sorted(tops)
        for name, path in known.items()
        if name.startswith("biport.") and not name.startswith(("biport.app", "biport.__main__"))
        if (tops := {imported.partition(".")[0] for imported in imports(path)} & (SIDES | FRAMEWORKS))
    }
    assert up == {}


def test_no_side_knows_another() -> None:
    breaches = {
        name: tops
        for name, path in modules().items()
        if (own := name.partition(".")[0]) in SIDES
        if (tops := ({imported.partition(".")[0] for imported in imports(path)} & SIDES) - {own})
    }
    assert breaches == {}
    assert [
        name
        for name, found in by_file().items()
        if name.split(".")[0] in SIDES and "biport.app" in str(found)
    ] == []


def test_no_module_is_named_by_a_string() -> None:
    """``import_module("keras_side...")`` is seen by neither linter nor type checker."""
    guilty = [
        (name, ast.unparse(node))
        for name, path in modules().items()
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func).endswith("import_module")
        and any(top in ast.unparse(node) for top in PACKAGES)
    ]
    assert guilty == []


def loaded(*questions: tuple[str, set[str]]) -> list[set[str]]:
    """Which forbidden packages are there after each of several pieces of code, in one process.

    A package that is there stays there: what may load it has to come last.
    """
    asked = ""
    for code, forbidden in questions:
        asked += f"{textwrap.dedent(code)}\n"
        asked += f"print('ANSWER', *({forbidden!r} & {{name.partition('.')[0] for name in sys.modules}}))\n"
    command = [sys.executable, "-c", f"import sys\n{asked}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [set(line.split()[1:]) for line in done.stdout.splitlines() if line.split(" ")[0] == "ANSWER"]


def test_importing_loads_nothing_it_must_not(keras_file: Path, tmp_path: Path) -> None:
    """Sides and frameworks come when they are used, and a Keras file becomes ONNX without tensorflow."""
    core = (name for name in modules() if name.split(".")[0] == "biport" and name != "biport.__main__")
    port = f"""
        from biport.app.cli import app
        try:
            app(["port", {str(keras_file)!r}, "--to", "onnx", "-o", {str(tmp_path / "m.onnx")!r}])
        except SystemExit as end:
            assert not end.code, end.code
    """
    # matplotlib is no framework, but loads as slowly as one.
    questions = [
        # Every run of pytest imports the plugin, wherever biport is installed.
        ("import biport.app.testing.pytest_plugin", {*FRAMEWORKS, "numpy", "typer", "safetensors"}),
        ("import biport.app.cli", {*FRAMEWORKS, "numpy"}),
        (f"import {', '.join(core)}", FRAMEWORKS | SIDES | {"matplotlib"}),
        ("import keras_side, keras_side.train", FRAMEWORKS),
        ("import export, export.session, export.corpus.scoring, export.deploy.triton.repository", FRAMEWORKS),
        ("import export.scale.scoring", {*FRAMEWORKS, "pyarrow"}),
        ("import export.build", {"keras", "tensorflow", "torch", "tf2onnx", "onnxruntime"}),
        (port, {"keras", "tensorflow", "torch"}),
    ]
    assert loaded(*questions) == [set()] * len(questions)
    assert (tmp_path / "m.onnx").exists()


def test_torch_side_loads_torch_alone() -> None:
    code = "import torch_side, torch_side.models, torch_side.train"
    assert loaded((code, FRAMEWORKS)) == [{"torch"}]


def test_the_keras_models_load_no_torch_and_no_onnx() -> None:
    # tf2onnx's import of onnx is not ours to forbid, but keras itself loads none of these.
    names = ("attentive_sentiment", "sentiment", "seq2seq", "tagger")
    models = ", ".join(f"keras_side.models.{name}" for name in names)
    assert loaded((f"import {models}", FRAMEWORKS - {"keras", "tensorflow"})) == [set()]


def test_a_breach_is_found(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("")
    (tmp_path / "guilty.py").write_text("import json\nimport torch\n")
    path = f"sys.path.insert(0, {str(tmp_path)!r})"
    assert loaded((path, FRAMEWORKS), ("import guilty", FRAMEWORKS)) == [set(), {"torch"}]


BREACHES = {
    "biport/x.py": "import torch\n",
    "biport/ops/x.py": "import keras_side, torch_side\n",
    "biport/data/x.py": "def f():\n    from export import write\n",
    "biport/compare/x.py": "from biport.app.verify import verify\n",
    "keras_side/x.py": "from torch import nn\n",
    "keras_side/ops/x.py": "import os, torch_side\n",
    "torch_side/x.py": "import keras\n",
    "torch_side/ops/x.py": "import export, keras_side\n",
    "export/x.py": "import torch_side\n",
    "export/corpus/x.py": "def f():\n    import pyarrow.parquet\n",
    "export/runtime/x.py": "import ray\n",
    "biport/data/y.py": "import pyarrow\n",
}
INNOCENT = {
    "biport/app/x.py": "def f():\n    from export import write\n",
    "torch_side/y.py": "import torch\n",
    "export/scale/x.py": "import pyarrow, ray\n",
}


def test_lint_finds_every_breach(tmp_path: Path) -> None:
    """In a copy of the settings, over guilty and innocent files alike."""
    for settings in (ROOT / "pyproject.toml", *(f for p in PACKAGES for f in (ROOT / p).rglob("ruff.toml"))):
        copy = tmp_path / settings.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(settings.read_text())
    for path, code in (BREACHES | INNOCENT).items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(code)
    command = [sys.executable, "-m", "ruff", "check", "--no-cache", "--select", "TID251"]
    command += ["--output-format", "json", "."]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    guilty = {
        Path(row["filename"]).relative_to(tmp_path.resolve()).as_posix() for row in json.loads(done.stdout)
    }
    assert guilty == {*BREACHES}


@pytest.mark.parametrize("package", PACKAGES)
def test_a_misspelt_name_of_a_package_is_seen(package: str) -> None:
    """No module hides its names from type checkers behind a ``__getattr__`` that takes any."""
    hidden = [
        name
        for name, path in modules().items()
        if name.split(".")[0] == package
        for node in parsed(path).body
        if isinstance(node, ast.FunctionDef) and node.name == "__getattr__"
    ]
    assert hidden == []
