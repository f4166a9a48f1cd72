"""What reads a model file imports no Keras, not even on demand or for its types."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2] / "keras_side"
ROOMS = ("file", "legacy", "ops", "reading", "shared")
FILES = ("inspect", "masks", "read", "records", "registry", "release", "unsupported")
PATHS = [
    *(path for room in ROOMS for path in sorted((ROOT / room).glob("*.py"))),
    *(ROOT / f"{name}.py" for name in FILES),
]


def imported(source: str) -> set[str]:
    """The packages that a file imports anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    return {name.partition(".")[0] for name in names}


@pytest.mark.parametrize("path", PATHS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_it_imports_no_keras(path: Path) -> None:
    assert not imported(path.read_text()) & {"h5py", "keras", "tensorflow", "tf_keras"}


def test_an_import_inside_a_function_counts() -> None:
    assert imported("def f():\n    import os, keras.ops\n    from h5py import File\n") == {
        "os",
        "keras",
        "h5py",
    }
