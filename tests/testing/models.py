"""One Keras model ported to every side and back, and all of it held against the oracle."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import export
import keras_side
import torch_side
from biport import bundle, verify
from biport.analysis.lengths import needed_steps
from biport.app.forms import Form, open_form
from biport.compare.cases import PATTERNS, padding_values, random_inputs
from biport.compare.report import Report
from biport.compare.tolerance import Verdict
from biport.graph import Graph
from biport.inputs import safe_bounds


def randomize(model: Any, seed: int = 0) -> Any:
    """New weights of the scale training leaves, none of them zero; those of variances are positive."""
    rng = np.random.default_rng(seed)
    for variable in model.weights:
        values = rng.normal(size=variable.shape) * 0.6
        if "variance" in variable.path:
            values = 0.2 + np.abs(values)
        variable.assign(values.astype("float32"))
    return model


def quiet_model(inputs: Any, outputs: Any) -> Any:
    """A functional model with random weights; Keras warns of layers that end a mask."""
    import keras

    return randomize(keras.Model(inputs, outputs))


def every_mask(graph: Graph, N: int = 10, T: int = 5, seed: int = 0) -> list[np.ndarray]:
    """One batch with rows of every pattern of mask in turn, at least as long as the model needs."""
    return random_inputs(
        graph.inputs,
        N,
        max(T, *(least.size for least in needed_steps(graph).values()), 1),
        np.random.default_rng(seed),
        patterns=PATTERNS,
        id_bounds=safe_bounds(graph),
        padding=padding_values(graph),
    )


def check_same(graph: Graph, models: Sequence[Any], forms: Sequence[Any]) -> Report:
    """Keras models over one batch with every pattern of mask, in one go; all other forms over every case too.

    Keras takes a hundred times as long as any other form, by the step. In float64 the batch is enough.
    """
    report = verify(*keras_forms(models), *forms, inputs=every_mask(graph), float64=True)
    for one in (report, verify(graph, *forms)):
        assert one.verdict is Verdict.SAME, f"{graph}\n{one.table}"
        assert not any(one.weights.values())
    return report


def keras_forms(models: Sequence[Any]) -> list[Form]:
    """Keras models as forms. In float64 it is their graph that is rebuilt, which needs no second run."""
    forms: list[Form] = []
    for form in map(open_form, models):
        if any(form.graph == other.graph for other in forms):
            form = replace(form, run_float64="its graph in float64 is another form's")
        forms.append(form)
    return forms


def check_everywhere(model: Any, folder: Path, *, tf2onnx: bool = False, back: bool = True) -> Graph:
    """The graph of ``model``, which every side computes, and which every side gives back bit for bit."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*does not support masking.*")
        return _check(model, folder, tf2onnx, back)


def _check(model: Any, folder: Path, tf2onnx: bool, back: bool) -> Graph:
    graph = keras_side.read(model)
    model.save(folder / "model.keras")
    assert keras_side.read(folder / "model.keras") == graph
    module = torch_side.write(graph)
    assert torch_side.read(module) == graph
    assert bundle.read(bundle.write(graph, folder / "bundle", overwrite=True)) == graph
    export.write(graph, folder / "fused.onnx", overwrite=True, vectors=False)
    forms = [module, folder / "fused.onnx"]
    if tf2onnx:
        export.write_tf2onnx(model, folder / "tf2onnx.onnx", overwrite=True)
        forms.append(folder / "tf2onnx.onnx")
    check_same(graph, [model, *([keras_side.write(graph)] if back else [])], forms)
    return graph
