"""What each folder of export may import: its lint rules find every guilty import, in a list too."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import export

ROOT = Path(export.__file__).parent
NEVER = {"torch", "torch_side", "keras_side", "biport.app"}
KERAS, RUNTIME = {"keras", "tensorflow", "tf2onnx"}, {"onnxruntime"}
BANNED = {
    ".": NEVER | KERAS | RUNTIME,
    "onnx": NEVER | KERAS | RUNTIME,
    "debug": NEVER | KERAS | RUNTIME,
    "tf2onnx": NEVER | RUNTIME,
    "runtime": NEVER | KERAS,
}


@pytest.mark.parametrize("folder", BANNED)
def test_lint_finds_what_a_folder_must_not_import(folder):
    names = sorted(NEVER | KERAS | RUNTIME | {"onnx", "onnx_ir"})
    path = str(ROOT / folder / "guilty.py")
    options = ["--select", "TID251", "--output-format", "concise", "--stdin-filename", path, "-"]
    done = subprocess.run(
        [sys.executable, "-m", "ruff", "check", *options],
        input=f"import {', '.join(names)}\n",
        cwd=ROOT.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    reported = {line.split("`")[1] for line in done.stdout.splitlines() if "TID251" in line}
    assert reported == BANNED[folder]


def test_nothing_is_required_by_name_where_it_must_not_be_imported():
    for path in ROOT.rglob("*.py"):
        folder = path.parent.name if path.parent != ROOT else "."
        for call in (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)):
            if isinstance(call.func, ast.Name) and call.func.id == "require" and call.args:
                package = call.args[0].value if isinstance(call.args[0], ast.Constant) else None
                assert package not in BANNED.get(folder, BANNED["."]), path
