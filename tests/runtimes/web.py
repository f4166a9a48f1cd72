"""onnxruntime-web under node: installed once under ``build/``, and run on files and batches."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "build" / "web"
VERSION = "1.27.0"
"""Of onnxruntime-web."""
SECONDS = 300


def installed() -> Path:
    """The folder in which scripts find onnxruntime-web; the test is skipped where it cannot be had."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("onnxruntime-web needs node and npm, which are not here")
    package = FOLDER / "node_modules" / "onnxruntime-web" / "package.json"
    if package.exists() and json.loads(package.read_text())["version"] == VERSION:
        return FOLDER
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / "package.json").write_text('{"private": true}')
    command = ["npm", "install", "--silent", "--no-audit", "--no-fund", f"onnxruntime-web@{VERSION}"]
    done = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, timeout=SECONDS, check=False)
    if done.returncode:
        pytest.skip(f"npm does not install onnxruntime-web {VERSION} here: {done.stderr.strip()[-300:]}")
    return FOLDER


def node(script: str, *arguments: str) -> str:
    """What a script prints that stands beside onnxruntime-web."""
    path = installed() / "script.mjs"
    path.write_text(script)
    done = subprocess.run(
        ["node", path.name, *arguments],
        cwd=path.parent,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def answers(
    jobs: Sequence[tuple[Path, Sequence[Mapping[str, np.ndarray]]]], folder: Path, repeat: int = 1
) -> list[dict[str, Any]]:
    """What onnxruntime-web gives for each file and its batches."""
    written = [
        {
            "path": str(path),
            "repeat": repeat,
            "batches": [
                [
                    {"name": name, "dtype": x.dtype.name, "dims": list(x.shape), "data": x.ravel().tolist()}
                    for name, x in batch.items()
                ]
                for batch in batches
            ],
        }
        for path, batches in jobs
    ]
    (folder / "jobs.json").write_text(json.dumps(written))
    script = Path(__file__).with_name("web.mjs").read_text()
    node(script, str(folder / "jobs.json"), str(folder / "answers.json"))
    return json.loads((folder / "answers.json").read_text())


def outputs_of(answer: Mapping[str, Any], batch: int) -> list[np.ndarray]:
    """The outputs for one batch; JavaScript's NaN comes as ``null``."""
    assert "error" not in answer, answer["error"]
    return [
        np.array([np.nan if x is None else x for x in output["data"]], "float32").reshape(output["dims"])
        for output in answer["outputs"][batch]
    ]
