"""Random feature maps in front of recurrence, of Keras and of torch: the same in every form."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

import export
import keras_side
import torch_side
from biport import verify
from biport.app.forms import open_form, torch_form
from biport.compare.tolerance import Verdict
from biport.errors import UnsupportedError
from biport.graph import Graph
from testing.feature_map_modules import torch_feature_maps
from testing.feature_map_strategies import LONG, keras_feature_maps
from testing.models import keras_forms

NOT_IN_KERAS = ("strides", "groups", "cropping")
"""Strides beside dilation, and of transposed convolutions groups and what is left beyond their padding."""
SEEDS = st.integers(0, 2**16)
COUNT = 8


def arrays_of(graph: Graph, N: int, size: int, seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    shapes = [(N, *(dim if isinstance(dim, int) else size for dim in one.shape[1:])) for one in graph.inputs]
    return [rng.normal(size=shape).astype("float32") for shape in shapes]


def check_keras(model: Any, folder: Path, seed: int) -> str:
    try:
        graph = keras_side.read(model)
    except UnsupportedError as refusal:
        # Keras takes steps for filters where there are as many.
        if "channels_last where there are as many steps as filters" not in str(refusal):
            raise
        return "refused"
    model.save(folder / "model.keras")
    assert keras_side.read(folder / "model.keras") == graph
    module = torch_side.write(graph)
    assert torch_side.read(module) == graph
    export.write(graph, folder / "model.onnx", overwrite=True, vectors=False)
    rewritten = keras_side.write(graph)
    assert keras_side.read(rewritten) == graph
    forms = [*keras_forms([model, rewritten]), *map(open_form, (module, folder / "model.onnx"))]
    return check_forms(graph, forms, seed, LONG)


def check_forms(graph: Graph, forms: Any, seed: int, long: int) -> str:
    for N, size in ((2, long), (3, long + 5)):
        report = verify(*forms, inputs=arrays_of(graph, N, size, seed), float64=True)
        assert report.verdict is not Verdict.DIFFERENT, f"{graph}\n{report.table}"
    return str(report.verdict)


@pytest.fixture(scope="session")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("properties")


@pytest.mark.sweep
@settings(max_examples=COUNT, derandomize=True)
@given(keras_feature_maps(), SEEDS)
def test_models_of_keras(folder: Path, model: Any, seed: int) -> None:
    event(check_keras(model, folder, seed))


def check_torch(module: Any, image: Any, folder: Path, seed: int) -> str:
    try:
        graph = torch_side.read(module, (image,))
    except UnsupportedError as refusal:
        return f"refused: {refusal}"
    export.write(graph, folder / "module.onnx", overwrite=True, vectors=False)
    written = [torch_side.write(graph), folder / "module.onnx"]
    try:
        written.append(keras_side.write(graph))
    except UnsupportedError as refusal:
        if refusal.setting not in NOT_IN_KERAS:
            raise
        event(f"not in Keras: {refusal.setting}")
    forms = [torch_form("module", module, graph, (image,)), *map(open_form, written)]
    return check_forms(graph, forms, seed, image.shape[-1])


@pytest.mark.sweep
@pytest.mark.filterwarnings("ignore:two biases were added up:UserWarning")
@settings(max_examples=COUNT, derandomize=True)
@given(torch_feature_maps(), SEEDS)
def test_modules_of_torch(folder: Path, drawn: Any, seed: int) -> None:
    module, image = drawn
    event(check_torch(module, image, folder, seed).partition(":")[0])
