"""Written modules are made of `torch_side.layers`, which needs torch alone."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import torch_side
from biport.errors import InputError
from torch_side import layers

FOLDER = Path(layers.__file__).parent
ALLOWED = {"torch", "torch_side.layers", *sys.stdlib_module_names}


def imported(source: str) -> set[str]:
    """The modules that ``source`` imports; of `torch_side` with the part behind it."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {".".join(name.split(".")[: 1 + name.startswith("torch_side")]) for name in names}


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.stem)
def test_a_layer_imports_torch_alone(path: Path) -> None:
    assert imported(path.read_text()) <= ALLOWED


def test_the_layers_run_without_the_rest(tmp_path: Path) -> None:
    (tmp_path / "torch_side").mkdir()
    (tmp_path / "torch_side" / "__init__.py").touch()
    shutil.copytree(FOLDER, tmp_path / "torch_side" / "layers")
    code = f"""
import sys
sys.path.insert(0, {str(tmp_path)!r})
import torch
from torch_side import layers
mask = torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
y, _ = layers.MaskedLSTM(3, 4, bidirectional=True)(torch.ones(2, 5, 3), mask=mask)
print(*y.shape, layers.__file__.startswith({str(tmp_path)!r}), "biport" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path, env={}
    )
    assert done.stdout.split() == ["2", "5", "8", "True", "False"]


GUILTY = [
    "import numpy",
    "import biport.errors",
    "import keras, torch_side.ops",
    "from torch_side import read",
]
ROOT = FOLDER.parents[1]
REST = sorted(
    {path.stem for path in FOLDER.parent.iterdir() if path.stem[0].isalpha()} - {"layers", "ruff", "py"}
)


@pytest.mark.parametrize("code", GUILTY + [f"from torch_side.{name} import x" for name in REST])
def test_lint_finds_what_a_layer_must_not_import(code: str) -> None:
    assert not imported(code) <= ALLOWED
    command = ["ruff", "check", "--select", "TID251", "--stdin-filename", "torch_side/layers/x.py", "-"]
    done = subprocess.run(
        [sys.executable, "-m", *command],
        input=code + "\n",
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 1
    assert "TID251" in done.stdout


def test_what_a_layer_refuses_is_an_error_of_biport_in_the_same_words() -> None:
    with pytest.raises(InputError, match=r"^a window over nothing is not defined: axis 2 has size 0$"):
        torch_side.run(layers.MaxPooling1D(2), [np.zeros((2, 3, 0))])
