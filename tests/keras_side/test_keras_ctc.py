"""Models that end in a layer of a CTC loss: the prediction in front of it is what is read."""

import testing.frameworks  # noqa: F401  # isort: skip

import importlib
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

import keras_side
from biport import reference
from biport.app.verify import verify
from biport.errors import UnsupportedError
from keras_side.reading.ctc import says_ctc

NOTE = "was cut off, and with it what it alone took: "


class CTCLayer(layers.Layer):
    """As in Keras' example of captchas: adds the loss, gives the prediction."""

    def call(self, y_true, y_pred):
        return y_pred


class Scaled(layers.Layer):
    """Somebody's own, and none of CTC."""

    def call(self, y_true, y_pred):
        return 2 * y_pred


def prediction(at: str = "image") -> tuple[Any, Any]:
    image = keras.Input((None, 3), name=at)
    hidden = layers.Bidirectional(layers.LSTM(2, return_sequences=True))(image)
    return image, layers.Dense(5, activation="softmax", name="scores")(hidden)


def trained(**options: Any) -> tuple[Any, Any]:
    """The model that is trained, and that of its predictions."""
    image, scores = prediction()
    label = keras.Input((None,), name="label")
    loss = CTCLayer(name="loss", **options)(label, scores)
    return keras.Model([image, label], loss, name="reader"), keras.Model(image, scores)


def test_the_prediction_of_a_live_model_and_of_its_files_is_read(tmp_path: Path) -> None:
    """No code of the layer is needed, nor run."""
    model, wanted = trained()
    graph = keras_side.read(wanted)
    paths = [tmp_path / "model.keras", tmp_path / "model.h5"]
    for path in paths:
        model.save(path)
    for source in (model, *paths):
        given = keras_side.read(source)
        assert given == graph
        assert [value.name for value in given.inputs] == ["image"]
        assert (
            f"layer 'loss' (CTCLayer) computes the loss of training and {NOTE}'label'"
            in given.origin["notes"]
        )
    assert NOTE in "; ".join(keras_side.inspect(paths[0]).notes)
    # Keras itself runs what was read, of a file whose class it does not know.
    x = np.random.default_rng(0).normal(size=(2, 4, 3)).astype("float32")
    report = verify(paths[0], model, inputs=[x])
    assert report.ok
    assert [line.form for line in report.lines if line.level == "L2"] == ["model.keras", "keras"]
    assert "read in numpy" not in str(report.table)


def test_the_live_prediction_shares_the_layers() -> None:
    model, wanted = trained()
    given = keras_side.prediction_model(model)
    x = np.random.default_rng(0).normal(size=(2, 4, 3)).astype("float32")
    np.testing.assert_array_equal(np.asarray(given(x)), np.asarray(wanted(x)))
    assert given.get_layer("scores") is model.get_layer("scores")
    assert keras_side.prediction_model(wanted) is wanted


@pytest.mark.sweep
def test_a_class_that_is_registered_makes_no_difference(tmp_path: Path) -> None:
    @keras.saving.register_keras_serializable("captcha")
    class CtcLoss(CTCLayer):
        pass

    image, scores = prediction()
    label = keras.Input((None,), name="label")
    model = keras.Model({"image": image, "label": label}, [CtcLoss(name="end")(label, y_pred=scores), scores])
    model.save(tmp_path / "model.keras")
    for source in (model, tmp_path / "model.keras"):
        given = keras_side.read(source)
        # What the layer gives is the prediction, which is an output already.
        assert given == keras_side.read(keras.Model(image, scores))
    assert verify(tmp_path / "model.keras", model).ok


def test_an_input_that_the_prediction_reads_too_stays() -> None:
    image, scores = prediction()
    given = keras_side.read(keras.Model(image, CTCLayer(name="loss")(image, scores)))
    assert [value.name for value in given.inputs] == ["image"]
    assert "layer 'loss' (CTCLayer) computes the loss of training and was cut off" in given.origin["notes"]
    assert NOTE not in given.origin["notes"]


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
def test_a_lambda_of_keras_2_is_cut_off_and_not_run(tmp_path: Path) -> None:
    """The older examples: the loss of the prediction, labels and two lengths."""
    tf_keras: Any = importlib.import_module("tf_keras")
    image = tf_keras.Input((None, 3), name="image")
    hidden = tf_keras.layers.GRU(2, return_sequences=True)(image)
    scores = tf_keras.layers.Dense(5, activation="softmax")(hidden)
    others = [tf_keras.Input((size,), name=name) for name, size in (("labels", 4), ("long", 1), ("steps", 1))]
    loss = tf_keras.layers.Lambda(lambda given: given[0][:, 2:, 0], name="ctc")([scores, *others])
    tf_keras.Model([image, *others], loss).save(tmp_path / "trained.h5")
    tf_keras.Model(image, scores).save(tmp_path / "wanted.h5")
    given = keras_side.read(tmp_path / "trained.h5")
    assert given == keras_side.read(tmp_path / "wanted.h5")
    assert (
        f"layer 'ctc' (Lambda) computes the loss of training and {NOTE}'labels', 'long'"
        in given.origin["notes"]
    )
    report = verify(tmp_path / "trained.h5", tmp_path / "wanted.h5")
    assert report.ok
    assert "read in numpy, the code of its Lambda is not run" in str(report.table)


@pytest.mark.sweep
def test_a_lambda_of_keras_3_is_cut_off_and_not_run(tmp_path: Path) -> None:
    def ctc_lambda_func(given):
        return given[0][:, 2:, 0]

    image, scores = prediction()
    others = [keras.Input((size,), name=name) for name, size in (("labels", 4), ("long", 1))]
    model = keras.Model([image, *others], layers.Lambda(ctc_lambda_func, name="loss")([scores, *others]))
    model.save(tmp_path / "model.keras")
    for source in (model, tmp_path / "model.keras"):
        given = keras_side.read(source)
        assert given == keras_side.read(keras.Model(image, scores))
        assert f"layer 'loss' (Lambda) computes the loss of training and {NOTE}" in given.origin["notes"]
    report = verify(tmp_path / "model.keras", model)
    assert report.ok
    assert "the code of its Lambda is not run" in str(report.table)


def test_two_tensors_that_are_computed_are_refused_by_name(tmp_path: Path) -> None:
    image, scores = prediction()
    label = keras.Input((None,), name="label")
    other = layers.Dense(5, name="other")(scores)
    model = keras.Model([image, label], CTCLayer(name="loss")([label, other], scores))
    model.save(tmp_path / "model.keras")
    for source in (model, tmp_path / "model.keras"):
        with pytest.raises(UnsupportedError, match=r"'loss' \(CTCLayer\).*that are computed: other, scores"):
            keras_side.read(source)


@pytest.mark.parametrize("which", ["another name", "no labels", "in the middle"])
def test_what_is_no_loss_at_the_end_stays_refused(which: str, tmp_path: Path) -> None:
    image, scores = prediction()
    label = keras.Input((None,), name="label")
    match which:
        case "another name":
            model = keras.Model([image, label], Scaled(name="loss")(label, scores))
        case "no labels":
            model = keras.Model(image, CTCLayer(name="loss")(scores, scores))
        case _:
            end = layers.Dense(2)(CTCLayer(name="loss")(label, scores))
            model = keras.Model([image, label], end)
    model.save(tmp_path / "model.keras")
    with pytest.raises(UnsupportedError, match="'loss'"):
        keras_side.read(tmp_path / "model.keras")
    assert keras_side.prediction_model(model) is model


def test_the_loss_of_a_model_inside_another_is_not_cut_off(tmp_path: Path) -> None:
    """What it gives may go on from there: a live one is traced, and for a file its code is needed."""
    inner, wanted = trained()
    inputs = [keras.Input((None, 3), name="image"), keras.Input((None,), name="label")]
    model = keras.Model(inputs, layers.Dense(2, name="end")(inner(inputs)))
    model.save(tmp_path / "model.keras")
    live = keras_side.read(model)
    assert [value.name for value in live.inputs] == ["image", "label"]
    x = np.random.default_rng(0).normal(size=(2, 4, 3)).astype("float32")
    exact = np.asarray(model.get_layer("end")(wanted(x)))
    np.testing.assert_allclose(reference.run(live, [x, np.zeros((2, 4), "float32")])[0], exact, atol=1e-6)
    with pytest.raises(UnsupportedError, match=r"(?s)'loss' \(CTCLayer\): class=.* code=") as refused:
        keras_side.read(tmp_path / "model.keras")
    assert [reason["setting"] for reason in refused.value.reasons()] == ["class"]
    # A model around the prediction that ends in the loss is like any other.
    around = keras.Model(inputs, CTCLayer(name="loss")(inputs[1], wanted(inputs[0])))
    assert [value.name for value in keras_side.read(around).inputs] == ["image"]


def test_the_word_is_a_word() -> None:
    names = [
        "CTCLayer",
        "ctc",
        "my_ctc",
        "CtcLoss",
        "BatchCtc",
        "OCR_CTC",
        "CTCloss",
        "distance",
        "DirectConv",
    ]
    assert [name for name in names if not says_ctc(name)] == ["distance", "DirectConv"]
