"""The README of a bundle shows how torch loads it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from biport import bundle
from testing.graphs import two_inputs as model

README = "README.md"
SNIPPET = re.compile(r"```python\n(.*?)```", re.S)


@pytest.mark.sweep
def test_the_snippet_of_the_readme_runs(tmp_path: Path) -> None:
    bundle.write(model(), tmp_path / "model")
    text = (tmp_path / "model" / README).read_text()
    snippet = SNIPPET.search(text)
    assert snippet is not None
    assert len(snippet.group(1).splitlines()) == 3
    check = "import torch\nassert isinstance(module, torch.nn.Module)\nassert not module.training\n"
    check += "print(sum(p.numel() for p in module.parameters()))"
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", snippet.group(1) + check],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert f"{model().parameter_count():,} parameters" in text
    assert "`one` int32 (N, T), `two` int64 (N, T)" in text
