"""No batch and no steps end the process in onnxruntime, and give the oracle's result here."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from biport.errors import InputError
from biport.graph import Graph, Node, Value
from biport.ops import FeaturesNotEqual, GlobalMaxPooling1D, Masking
from testing.onnx_graphs import H, I, bidirectional, chain, exported, lstm, worst

EMPTY = ((0, 7), (4, 0), (0, 0))

CHILD = """
import sys
import numpy as np
import export
sizes = ((0, 7), (4, 0), (0, 0), (2, 3))
for path in sys.argv[1:]:
    session = export.Session(path, device="cpu", threads=1)
    for size in sizes:
        for output in session.run([np.ones(size, "int32")]):
            print(output.shape, size == (2, 3) or not output.any())
"""


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(5)


def test_in_a_process_of_its_own(rng, tmp_path):
    paths = []
    for number, masked in enumerate((True, False)):
        layers = bidirectional(rng, I, H, sequences=True), lstm(rng, 2 * H, 4, reverse=True)
        exported(chain(rng, *layers, masked=masked), tmp_path)
        paths.append(str((tmp_path / "model.onnx").rename(tmp_path / f"{number}.onnx")))
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", CHILD, *paths], capture_output=True, text=True, timeout=60, cwd=root
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[:4] == ["(0, 7, 6) True", "(0, 4) True", "(4, 0, 6) True", "(4, 4) True"]
    assert len(lines) == 16
    assert all(line.endswith("True") for line in lines)


def test_float_inputs(rng, tmp_path):
    node = Node("l", lstm(rng, I, H), ("x",))
    graph = Graph((Value("x", ("N", "T", I), "float32"),), (node,), ("l",))
    session = exported(graph, tmp_path)
    for size in EMPTY:
        assert worst(graph, session, np.zeros((*size, I), "float32")) == 0


def test_the_maximum_over_no_steps_is_refused(rng, tmp_path):
    graph = chain(rng, bidirectional(rng, I, H, sequences=True), GlobalMaxPooling1D())
    session = exported(graph, tmp_path)
    with pytest.raises(InputError, match="'ids': the model is not defined over 0 time steps"):
        session.run([np.zeros((4, 0), "int32")])


def test_masks_of_features(rng, tmp_path):
    """Over nothing onnxruntime 1.31 reduces no axis that is counted from behind."""
    nodes = (
        Node("kept", Masking(mask_value=0.0), ("x",)),
        Node("mask", FeaturesNotEqual(value=0.0), ("x",)),
        Node("h", lstm(rng, I, H), ("kept",), masks=("mask",)),
    )
    graph = Graph((Value("x", ("N", "T", I), "float32"),), nodes, ("h",))
    session = exported(graph, tmp_path)
    for size in EMPTY:
        assert worst(graph, session, np.zeros((*size, I), "float32")) == 0
