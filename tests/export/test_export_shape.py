"""Reshape where the batch is fixed and time is not: its sizes are computed when the file runs."""

from pathlib import Path

import numpy as np
import pytest

import export
from biport import ops, reference
from biport.graph import Graph, Node, Value


@pytest.mark.parametrize("N", [3, "N"])
@pytest.mark.parametrize("target", [(-1, 3), (-1, 2, 3), (2, -1), (6, -1, 1)])
def test_a_size_that_varies(N: int | str, target: tuple[int, ...], tmp_path: Path) -> None:
    graph = Graph(
        (Value("x", (N, "T", 6), "float32"),), (Node("r", ops.Reshape(target_shape=target), ("x",)),), ("r",)
    )
    export.write(graph, tmp_path / "m.onnx")
    session = export.Session(tmp_path / "m.onnx", "cpu")
    for T in (1, 4):
        x = np.random.default_rng(T).normal(size=(3, T, 6)).astype("float32")
        np.testing.assert_array_equal(session.run([x])[0], reference.run(graph, [x], "float32")[0])
