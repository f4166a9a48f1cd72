"""ConvLSTM models on all sides: a next-frame model, gradients, weights that go back, and tf2onnx."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import testing.frameworks  # noqa: F401  # isort: skip

import keras
import torch

import biport
import export
import keras_side
import torch_side
from biport import reference
from testing.keras_models import floats, randomize

layers: Any = keras.layers
I = 2


def frames() -> keras.Model:
    """The next frame of a film, as Keras' own example has it."""
    x = keras.Input((None, 6, 5, 1))
    y: Any = x
    for kernel in (5, 3, 1):
        y = layers.ConvLSTM2D(3, kernel, padding="same", return_sequences=True)(y)
        y = layers.BatchNormalization()(y)
    model = randomize(keras.Model(x, layers.Conv3D(1, 3, padding="same", activation="sigmoid")(y)))
    for weight in model.weights:
        weight.assign(0.3 * np.abs(weight.numpy()) if "variance" in weight.path else 0.3 * weight.numpy())
    return model


def masked() -> keras.Model:
    x, mask = keras.Input((None, 5, 4, I)), keras.Input((None,), dtype="bool")
    y = layers.Bidirectional(layers.ConvLSTM2D(3, 2, padding="same", return_sequences=True))(x, mask=mask)
    y = layers.ConvLSTM2D(2, (2, 1), strides=2, recurrent_activation="hard_sigmoid")(y, mask=mask)
    return randomize(keras.Model([x, mask], layers.Dense(3)(layers.Flatten()(y))))


def over_steps() -> keras.Model:
    inner = layers.TimeDistributed(layers.ConvLSTM1D(2, 2, padding="same"))
    return randomize(keras.Sequential([keras.Input((3, 4, 6, I)), inner]))


MODELS = {"frames": frames, "masked": masked, "over steps": over_steps}


@pytest.mark.sweep
@pytest.mark.parametrize("name", MODELS)
def test_all_forms_are_the_same(name: str, tmp_path: Path) -> None:
    model = MODELS[name]()
    model.save(tmp_path / "model.keras")
    graph = keras_side.read(tmp_path / "model.keras")
    export.write(graph, tmp_path / "model.onnx")
    folder = torch_side.write_folder(graph, tmp_path / "m")
    forms = [keras_side.write(graph), torch_side.write(graph), folder, tmp_path / "model.onnx"]
    report = biport.verify(model, *forms, trace=name == "masked")
    assert report.ok, report.table


@pytest.mark.sweep
def test_gradients_and_weights_that_go_back() -> None:
    with floats("float64"):
        model = masked()
    graph, rng = keras_side.read(model), np.random.default_rng(0)
    arrays = [rng.normal(size=(3, 4, 5, 4, I)), rng.random((3, 4)) < 0.6]
    cotangents = [rng.normal(size=output.shape) for output in reference.run(graph, arrays)]
    module = torch_side.write(graph)
    loss, slopes = keras_side.gradients(model, arrays, cotangents)
    other, twins = torch_side.gradients(module, arrays, cotangents)
    assert abs(loss - other) < 1e-12
    assert slopes.keys() == twins.keys()
    # Torch's hard sigmoid has a slope of 1/6 in float32.
    for path, slope in slopes.items():
        np.testing.assert_allclose(slope, twins[path], rtol=0, atol=1e-7, err_msg=path)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.1)
    trained = torch_side.read(module)
    keras_side.load(model, trained)
    assert keras_side.read(model) == trained != graph


@pytest.mark.sweep
@pytest.mark.parametrize("how", ["whole", "as tf2onnx has it"])
def test_by_way_of_tf2onnx(how: str, tmp_path: Path) -> None:
    model, rng = masked(), np.random.default_rng(0)
    op_of = keras_side.recurrent_op if how == "whole" else None
    export.write_tf2onnx(model, tmp_path / "model.onnx", op_of=op_of)
    graph = keras_side.read(model)
    for rows, steps in ((3, 4), (1, 7)):
        arrays = [rng.normal(size=(rows, steps, 5, 4, I)).astype("float32"), rng.random((rows, steps)) < 0.6]
        (given,) = export.Session(tmp_path / "model.onnx").run(arrays)
        np.testing.assert_allclose(given, reference.run(graph, arrays)[0], rtol=0, atol=1e-5)
