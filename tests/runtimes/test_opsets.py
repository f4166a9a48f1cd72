"""Every op in other opsets than files have by default, on the onnxruntime that is installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
import onnxruntime
import pytest

import export
from export.onnx.target import NEWEST, OLDEST
from runtimes.cases import difference, every_op

pytestmark = pytest.mark.sweep


@pytest.mark.parametrize("opset", [OLDEST, NEWEST])
def test_every_op(opset: int, tmp_path: Path) -> None:
    path, wrong = tmp_path / "model.onnx", []
    for trial in every_op():
        export.write(trial.graph, path, overwrite=True, vectors=False, opset=opset)
        assert onnx.load(path).opset_import[0].version == opset
        names = [value.name for value in trial.graph.inputs]
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        for case, arrays in trial.inputs.items():
            outputs: Any = session.run(None, dict(zip(names, arrays, strict=True)))
            differs = difference(trial, case, outputs)
            wrong += [] if differs is None else [f"{trial.name}, {case}: {differs}"]
    assert not wrong, "\n".join(wrong)
