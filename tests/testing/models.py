"""One Keras model ported to every side and back, and all of it held against the oracle."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np

import export
import keras_side
import torch_side
from biport import bundle, verify
from biport.compare.tolerance import Verdict
from biport.graph import Graph


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
    export.write(graph, folder / "fused.onnx", overwrite=True)
    sources = [model, module, folder / "fused.onnx"]
    if back:
        sources.append(keras_side.write(graph))
    if tf2onnx:
        export.write_tf2onnx(model, folder / "tf2onnx.onnx", overwrite=True)
        sources.append(folder / "tf2onnx.onnx")
    report = verify(*sources, float64=True)
    assert report.verdict is Verdict.SAME, f"{graph}\n{report.table}"
    assert not any(report.weights.values())
    return graph
