"""Random programs of tensor operations over random layers: every form computes what the reference does."""

from __future__ import annotations

import tempfile
from pathlib import Path

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import export
import keras_side
import torch_side
from biport import reference
from biport.graph import Graph
from testing.operation_graphs import inputs_of, operation_graphs

SIZES = ((2, 4, 3), (3, 1, 5))
NOTHING = (0, 2, 1)
"""Keras takes no empty batch."""
SEEDS = st.integers(0, 2**16)


def check_float64(graph: Graph, seed: int) -> None:
    """torch and Keras in float64 are the reference to 1e-12."""
    double = graph.astype("float64")
    module = torch_side.write(double)
    keras.utils.clear_session()
    model = keras_side.write(double)
    for sizes in (*SIZES, NOTHING):
        arrays = inputs_of(double, *sizes, seed)
        wanted = reference.run(double, arrays)
        given_ = {"torch": torch_side.run(module, arrays)}
        if sizes is not NOTHING:
            given_["Keras"] = keras_side.run(model, arrays)
        for form, outputs in given_.items():
            for one, two in zip(outputs, wanted, strict=True):
                assert one.shape == two.shape, f"{form}\n{graph}"
                np.testing.assert_allclose(one, two, rtol=1e-12, atol=1e-12, err_msg=f"{form}\n{graph}")


def check_onnx(graph: Graph, seed: int) -> None:
    """onnxruntime is off by no more than float32 is, or by a few units of its last digit."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        export.write(graph, path, vectors=False)
        session = export.Session(path)
        for sizes in (*SIZES, NOTHING):
            arrays = inputs_of(graph, *sizes, seed)
            wanted, rounded = reference.run(graph, arrays), reference.run(graph, arrays, "float32")
            for given_, two, near in zip(session.run(arrays), wanted, rounded, strict=True):
                assert given_.shape == two.shape, f"{sizes}\n{graph}"
                one, two, near = (x.astype("float64") for x in (given_, two, near))
                finite = np.isfinite(two)
                scale = np.abs(two[finite]).max(initial=1.0)
                rounding = np.abs(near[finite].astype("float64") - two[finite]).max(initial=0)
                allowed = max(4 * rounding, 1e-5 * scale)
                np.testing.assert_allclose(one, two, rtol=0, atol=allowed, err_msg=str(graph))


@given(operation_graphs(most=12), SEEDS)
@settings(max_examples=4, deadline=None)
def test_programs_in_float64(graph: Graph, seed: int) -> None:
    check_float64(graph, seed)


@given(operation_graphs(jumps=False, most=12), SEEDS)
@settings(max_examples=8, deadline=None)
def test_programs_in_onnx(graph: Graph, seed: int) -> None:
    check_onnx(graph, seed)


@pytest.mark.sweep
@given(operation_graphs(most=12), SEEDS)
@settings(max_examples=120, deadline=None)
def test_many_programs_in_float64(graph: Graph, seed: int) -> None:
    check_float64(graph, seed)


@pytest.mark.sweep
@given(operation_graphs(jumps=False, most=12), SEEDS)
@settings(max_examples=300, deadline=None)
def test_many_programs_in_onnx(graph: Graph, seed: int) -> None:
    check_onnx(graph, seed)
