"""Models as people write them, layers joined by operations: read from everywhere, the same in every form."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import export
import keras_side
import torch_side
from biport import verify
from biport.compare.tolerance import Verdict
from biport.graph import Graph
from biport.ops import INTEGERS
from testing.idioms import IDIOMS, ROWS
from testing.masks import padded_ids
from testing.models import randomize

FEW = ("attention_with_a_mask_by_hand", "siamese_cosine")
"""Those of every day; the others are swept."""

EVERY = [pytest.param(name, marks=() if name in FEW else pytest.mark.sweep) for name in IDIOMS]


def inputs_of(graph: Graph, N: int = 4, T: int = 5) -> list[np.ndarray]:
    """Rows of every pattern of padding where ids are taken, and lengths below that of the model."""
    rng = np.random.default_rng(3)
    arrays = []
    for value in graph.inputs:
        shape = (N, *(dim if isinstance(dim, int) else T for dim in value.shape[1:]))
        if value.dtype in INTEGERS and shape[1] > 1:
            rows = [padded_ids(name, 1, shape[1], rng, ROWS) for name in ("right", "left", "holes", "full")]
            arrays.append(np.concatenate(rows)[:N])
        elif value.dtype in INTEGERS:
            arrays.append(np.arange(1, N + 1, dtype=value.dtype)[:, None])
        else:
            arrays.append(rng.normal(size=shape).astype(value.dtype))
    return arrays


def built(name: str) -> Any:
    keras.utils.clear_session()
    return randomize(IDIOMS[name]())


@pytest.mark.parametrize("name", EVERY)
def test_an_idiom_is_the_same_everywhere(name: str, tmp_path: Path) -> None:
    model = built(name)
    graph = keras_side.read(model)
    for suffix in ("keras", "h5"):
        path = tmp_path / f"model.{suffix}"
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*HDF5.*")
            model.save(path)
        assert keras_side.read(path) == graph
    arrays = inputs_of(graph)
    rewritten = keras_side.save(graph, tmp_path / "rewritten.keras")
    export.write(graph, tmp_path / "model.onnx")
    forms = [torch_side.write(graph), keras.models.load_model(rewritten), tmp_path / "model.onnx"]
    report = verify(model, *forms, inputs=arrays, float64=True)
    assert report.verdict is Verdict.SAME, f"{graph}\n{report.table}"


@pytest.mark.sweep
def test_a_rewritten_idiom_trains_as_the_model_does(tmp_path: Path) -> None:
    model = built("attention_of_a_tutorial")
    graph = keras_side.read(model)
    path = keras_side.save(graph, tmp_path / "rewritten.keras")
    again: Any = keras.models.load_model(path)
    (ids,) = inputs_of(graph)
    targets = [np.zeros(output.shape, "float32") for output in model(ids)]
    losses = []
    for one in (model, again):
        one.compile(optimizer=keras.optimizers.SGD(0.1), loss=["mse"] * len(targets))
        losses.append([one.train_on_batch(ids, targets)[0] for _ in range(3)])
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-5)
    assert losses[0][2] < losses[0][0]
