"""Which side may import what, seen from outside: a fresh process, then a look at ``sys.modules``."""

import subprocess
import sys
import textwrap

import pytest

FRAMEWORKS = {"keras", "tensorflow", "torch", "onnx", "onnx_ir", "onnxruntime", "tf2onnx"}
RULES = {
    "biport": FRAMEWORKS,
    "biport.app.cli": {*FRAMEWORKS, "numpy"},
    "biport.graph, biport.reference, biport.compare.tolerance, biport.bundle, biport.data": FRAMEWORKS,
    "biport.app.support": FRAMEWORKS,
    "biport.app.verify, biport.compare.localize": FRAMEWORKS,
    "biport.training, biport.app.train.command": FRAMEWORKS | {"matplotlib"},
    "keras_side, keras_side.train": FRAMEWORKS,
    "torch_side, torch_side.models, torch_side.train": FRAMEWORKS - {"torch"},
    "export": FRAMEWORKS,
    "export.fused_route": {"keras", "tensorflow", "torch", "tf2onnx", "onnxruntime"},
    "export.session": FRAMEWORKS,
    "export.scoring, export.triton, biport.app.run, biport.analysis.padding": FRAMEWORKS,
}


def loaded(imports: str, forbidden: set[str], code: str = "") -> set[str]:
    """The forbidden packages that are there after ``import imports`` and ``code``."""
    script = f"import sys\n{f'import {imports}' if imports else ''}\n{code}\n"
    script += f"print(*({forbidden!r} & {{name.partition('.')[0] for name in sys.modules}}), sep='\\n')"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize("imports", RULES)
def test_importing_a_side_loads_nothing_it_must_not(imports: str) -> None:
    assert loaded(imports, RULES[imports]) == set()


def test_the_keras_models_load_no_torch_and_no_onnx() -> None:
    # tf2onnx's import of onnx is not ours to forbid, but keras itself loads none of these.
    names = ("attentive_sentiment", "sentiment", "seq2seq", "tagger")
    models = ", ".join(f"keras_side.models.{name}" for name in names)
    assert loaded(models, {"torch", "onnx", "onnx_ir", "onnxruntime", "tf2onnx"}) == set()


def test_a_breach_is_found(tmp_path) -> None:
    (tmp_path / "guilty.py").write_text("import numpy\nimport torch\n")
    assert loaded("", FRAMEWORKS, f"sys.path.insert(0, {str(tmp_path)!r})\nimport guilty") == {"torch"}


def test_lint_finds_a_breach_on_each_side() -> None:
    breaches = {
        "biport/x.py": "import torch\n",
        "keras_side/x.py": "from torch import nn\n",
        "torch_side/x.py": "import keras\n",
        "export/x.py": "import torch_side\n",
    }
    for path, code in breaches.items():
        command = [sys.executable, "-m", "ruff", "check", "--select", "TID251", "--stdin-filename", path, "-"]
        done = subprocess.run(command, input=code, capture_output=True, text=True, check=False)
        assert done.returncode == 1, path
        assert "TID251" in done.stdout


def test_a_keras_file_becomes_onnx_without_tensorflow(keras_file, tmp_path) -> None:
    code = textwrap.dedent(f"""
        from biport.app.cli import app
        try:
            app(["port", {str(keras_file)!r}, "--to", "onnx", "-o", {str(tmp_path / "m.onnx")!r}])
        except SystemExit as end:
            assert not end.code, end.code
    """)
    found = loaded("", {"keras", "tensorflow", "torch"}, code)
    assert (tmp_path / "m.onnx").exists()
    assert not found & {"keras", "tensorflow", "torch"}
