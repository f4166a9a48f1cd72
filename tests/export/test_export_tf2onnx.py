"""The tf2onnx route against Keras itself."""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import json
import logging

import numpy as np
import pytest
from build_export import MASKS, H, I, V, padded_ids

import export
from biport.errors import FileError, InputError, UnsupportedError

keras = pytest.importorskip("keras")
pytest.importorskip("tf2onnx")
layers = keras.layers


@pytest.fixture(scope="module")
def model():
    """Two inputs and three outputs, the second named as an inner value may be; never called."""
    keras.utils.set_random_seed(9)
    ids = keras.Input((None,), dtype="int32", name="ids")
    x = keras.Input((None, I), name="features")
    table = layers.Embedding(V, I, mask_zero=True, name="table")(ids)
    both = layers.Bidirectional(layers.LSTM(H, return_sequences=True, name="both"), name="both")(table)
    last = layers.LSTM(4, name="last")(both)
    mean = layers.GlobalAveragePooling1D(name="mean")(layers.LSTM(2, return_sequences=True)(x))
    model = keras.Model([ids, x], [both, layers.Dense(1, name="label")(last), mean])
    rng = np.random.default_rng(9)
    model.set_weights([rng.normal(0, 0.5, weight.shape) for weight in model.get_weights()])
    return model


@pytest.fixture(scope="module")
def session(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("tf2onnx") / "model.onnx"
    level = logging.getLogger("tf2onnx").level
    report = export.write_tf2onnx(model, path)
    assert logging.getLogger("tf2onnx").level == level
    assert report.route == "tf2onnx"
    assert os.listdir(path.parent) == ["model.onnx"]
    return export.Session(path, device="cpu", threads=1)


@pytest.mark.parametrize("kind", MASKS)
def test_equals_keras(kind, model, session):
    rng = np.random.default_rng(1)
    # Two inputs of different lengths: neither may promise the other's.
    ids, x = padded_ids(rng, kind), rng.normal(size=(6, 5, I)).astype("float32")
    wanted = model([ids, x])
    for one, two in zip(wanted, session.run([ids, x]), strict=True):
        np.testing.assert_allclose(one, two, atol=2e-6)


def test_names_axes_and_metadata(session):
    assert [(value.name, value.shape) for value in session.input_values] == [
        ("ids", ("N", "T")),
        ("features", ("N", "T_2", I)),
    ]
    assert session.output_names == ["both", "label", "mean"]
    assert session.output_values[0].shape == ("N", "T", 2 * H)
    assert session.output_values[1].shape == ("N", 1)
    assert session.metadata["biport.route"] == "tf2onnx"
    assert json.loads(session.metadata["biport.origin"])["framework"] == "keras"
    assert session.node_count > 50


@pytest.mark.parametrize("bad", [V, -1])
def test_ids_out_of_bounds(bad, session):
    with pytest.raises(InputError, match=rf"'ids': ids should be in \[0, {V}\), found {bad}"):
        session.run([np.full((2, 3), bad, "int32"), np.zeros((2, 3, I), "float32")])


def test_float_ids(session):
    with pytest.raises(InputError, match="'ids': expected integer ids"):
        session.run([np.ones((2, 3)), np.zeros((2, 3, I), "float32")])


def test_an_empty_batch_gives_empty_outputs(session):
    outputs = session.run([np.zeros((0, 7), "int32"), np.zeros((0, 7, I), "float32")])
    assert [a.shape for a in outputs] == [(0, 7, 2 * H), (0, 1), (0, 2)]


def test_no_steps_are_refused(session):
    with pytest.raises(InputError, match="over which this file is not defined"):
        session.run([np.zeros((2, 0), "int32"), np.zeros((2, 0, I), "float32")])


def test_refuses_to_overwrite(model, session):
    with pytest.raises(FileError, match="exists already"):
        export.write_tf2onnx(model, session.path)


def test_sequential_with_bounds_and_untouched_settings(tmp_path):
    layer = layers.LSTM(H)
    model = keras.Sequential([keras.Input((7,), dtype="int64", name="ids"), layers.Embedding(V, I), layer])
    export.write_tf2onnx(model, tmp_path / "model.onnx", bounds={"ids": 5})
    assert layer.use_cudnn == "auto"
    session = export.Session(tmp_path / "model.onnx", device="cpu", threads=1)
    assert session.input_values[0].shape == ("N", 7)
    with pytest.raises(InputError, match=r"\[0, 5\)"):
        session.run([np.full((2, 7), 5)])
    assert [a.shape for a in session.run([np.ones((2, 7), int)])] == [(2, H)]
    with pytest.raises(InputError, match="bounds: there is no input 'x'"):
        export.write_tf2onnx(model, tmp_path / "other.onnx", bounds={"x": 5})


def test_two_outputs_of_one_layer(tmp_path):
    x = keras.Input((4, I), name="x")
    one, two = layers.Bidirectional(layers.LSTM(H), merge_mode=None, name="two")(x)
    model = keras.Model([x], [two, one])
    export.write_tf2onnx(model, tmp_path / "model.onnx")
    session = export.Session(tmp_path / "model.onnx", device="cpu", threads=1)
    assert session.output_names == ["two:1", "two:0"]
    values = np.random.default_rng(2).normal(size=(3, 4, I)).astype("float32")
    for wanted, output in zip(model([values]), session.run([values]), strict=True):
        np.testing.assert_allclose(wanted, output, atol=1e-6)


@pytest.mark.parametrize("sequences", [True, False])
@pytest.mark.parametrize("merge", ["concat", None])
def test_directions_of_unequal_size_of_which_keras_tells_the_wrong_shape(merge, sequences, tmp_path):
    x = keras.Input((None, I), name="x")
    one = layers.LSTM(3, return_sequences=sequences)
    two = layers.GRU(2, return_sequences=sequences, go_backwards=True)
    model = keras.Model(x, layers.Bidirectional(one, backward_layer=two, merge_mode=merge)(x))
    export.write_tf2onnx(model, tmp_path / "model.onnx")
    values = np.random.default_rng(2).normal(size=(3, 4, I)).astype("float32")
    outputs = export.Session(tmp_path / "model.onnx", "cpu").run([values])
    for wanted, output in zip(keras.tree.flatten(model(values)), outputs, strict=True):
        np.testing.assert_allclose(wanted, output, atol=1e-6)


def test_axes_of_outputs_are_the_inputs_they_are_as_long_as(tmp_path):
    x, y = keras.Input((None, I), name="x"), keras.Input((None, I), name="y")
    outputs = [
        layers.LSTM(H, return_sequences=True, name="a")(y),
        layers.Concatenate(axis=1, name="b")([x, y]),
        layers.Concatenate(axis=1, name="c")([x, x]),
    ]
    model = keras.Model({"x": x, "y": y}, outputs)
    export.write_tf2onnx(model, tmp_path / "model.onnx")
    session = export.Session(tmp_path / "model.onnx", device="cpu", threads=1)
    lengths = [value.shape[1] for value in session.output_values]
    assert lengths == ["T_2", "out_1_1", "out_2_1"]
    rng = np.random.default_rng(3)
    x, y = (rng.normal(size=(2, T, I)).astype("float32") for T in (3, 4))
    for wanted, output in zip(model({"x": x, "y": y}), session.run([x, y]), strict=True):
        np.testing.assert_allclose(wanted, output, atol=1e-6)


def test_models_it_cannot_write(tmp_path):
    class Own(keras.Model):
        pass

    for model, message in ((Own(), "inputs=None"), (object(), "live Keras models")):
        with pytest.raises(UnsupportedError, match=message):
            export.write_tf2onnx(model, tmp_path / "model.onnx")
    x = keras.Input((4,), name="x")
    with pytest.raises(UnsupportedError, match="outputs='x'"):
        export.write_tf2onnx(keras.Model([x], [x]), tmp_path / "model.onnx")
    assert os.listdir(tmp_path) == []
