"""Readers of captchas as Keras' example builds them, in files of either Keras: read, ported, compared."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import testing.frameworks  # noqa: F401  # isort: skip

import numpy as np
import pytest

import export
import keras_side
import torch_side
from biport.analysis.text_model import with_alphabet
from biport.app.verify import verify

CHARACTERS = ("[UNK]", *"2345678bcdefg")
IMAGES = np.random.default_rng(1).normal(size=(6, 24, 12, 1)).astype("float32")


def captcha(keras: Any) -> tuple[Any, Any]:
    """The model that is trained, and that of its predictions."""
    layers = keras.layers

    class CTCLayer(layers.Layer):
        """Adds the loss where it is trained."""

        def __init__(self, name: str | None = None) -> None:
            super().__init__(name=name)

        def call(self, y_true: Any, y_pred: Any) -> Any:
            return y_pred

    image = layers.Input((24, 12, 1), name="image", dtype="float32")
    label = layers.Input((None,), name="label", dtype="float32")
    x = image
    for number, filters in enumerate((4, 6), 1):
        x = layers.Conv2D(filters, (3, 3), activation="relu", padding="same", name=f"Conv{number}")(x)
        x = layers.MaxPooling2D((2, 2), name=f"pool{number}")(x)
    x = layers.Reshape((6, 3 * 6), name="reshape")(x)
    x = layers.Dropout(0.2)(layers.Dense(8, activation="relu", name="dense1")(x))
    for units in (6, 4):
        x = layers.Bidirectional(layers.LSTM(units, return_sequences=True, dropout=0.25))(x)
    scores = layers.Dense(len(CHARACTERS) + 1, activation="softmax", name="dense2")(x)
    model = keras.Model([image, label], CTCLayer(name="ctc_loss")(label, scores), name="reader")
    rng = np.random.default_rng(0)
    model.set_weights([rng.normal(size=array.shape) for array in model.get_weights()])
    return model, keras.Model(image, scores)


@pytest.mark.sweep
@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
@pytest.mark.parametrize("ending", ["keras", "h5"])
@pytest.mark.parametrize("release", ["keras", "tf_keras"])
def test_a_reader_of_captchas(release: str, ending: str, tmp_path: Path) -> None:
    model, prediction = captcha(importlib.import_module(release))
    path = tmp_path / f"captcha.{ending}"
    model.save(path)
    graph = with_alphabet(keras_side.read(path), CHARACTERS, len(CHARACTERS))
    assert [str(value.tensor) for value in graph.inputs] == ["float32 (N, 24, 12, 1)"]
    export.write(graph, tmp_path / "captcha.onnx")
    torch_side.write_folder(graph, tmp_path / "ported")
    report = verify(path, tmp_path / "ported", tmp_path / "captcha.onnx", inputs=[IMAGES])
    assert report.ok, report.table
    own = path.name + (" (tf_keras)" if release == "tf_keras" else "")
    forms = own, "ported", "captcha.onnx"
    heads = [line.text[0] for line in report.agreement]
    assert heads == [f"texts of {form}, dense2: 6 of 6 texts as in the source (1)" for form in forms]
    session = export.Session(tmp_path / "captcha.onnx", device="cpu", threads=1)
    np.testing.assert_allclose(session.run([IMAGES])[0], np.asarray(prediction(IMAGES)), atol=1e-5)
    assert len({one.text for one in session.transcribe(IMAGES)}) > 1
