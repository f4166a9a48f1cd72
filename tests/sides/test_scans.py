"""A recurrence over any cell on all sides: gradients, traces and the verdict of a comparison."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import testing.frameworks  # noqa: F401  # isort: skip

import biport
import keras_side
import torch_side
from biport import reference
from biport.graph import Graph
from testing import scans
from testing.recurrent_graphs import inputs_of


def graph_of(name: str, dtype: str) -> Graph:
    settings = {"return_sequences": True, "return_state": True}
    return scans.graph_of(scans.CELLS[name](np.random.default_rng(4), dtype, **settings))


@pytest.mark.sweep
@pytest.mark.parametrize("name", scans.CELLS)
def test_gradients_of_keras_and_torch_are_the_same(name: str) -> None:
    graph = graph_of(name, "float64")
    arrays = [
        array.astype(value.dtype)
        for array, value in zip(
            inputs_of(graph.at({"S": 4}), np.random.default_rng(0), "holes", 4, 5), graph.inputs, strict=True
        )
    ]
    rng = np.random.default_rng(1)
    cotangents = [rng.normal(size=output.shape) for output in reference.run(graph, arrays)]
    loss, slopes = keras_side.gradients(keras_side.write(graph), arrays, cotangents)
    other, twins = torch_side.gradients(torch_side.write(graph), arrays, cotangents)
    assert abs(loss - other) < 1e-10
    # Torch has a second bias where Keras has one, and a gradient for it.
    assert slopes.keys() == {path for path in twins if "bias_hh" not in path or path in slopes}
    for path, slope in slopes.items():
        np.testing.assert_allclose(slope, twins[path], atol=1e-10, err_msg=path)


@pytest.mark.sweep
@pytest.mark.parametrize("name", ["peephole", "attention", "nested"])
def test_all_forms_are_the_same(name: str, tmp_path: Path) -> None:
    graph = graph_of(name, "float32")
    model = keras_side.write(graph)
    folder = torch_side.write_folder(keras_side.read(model), tmp_path / "m")
    report = biport.verify(model, torch_side.write(keras_side.read(model)), folder, trace=True)
    assert report.ok, report.table
