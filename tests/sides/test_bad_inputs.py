"""Inputs on which frameworks disagree, err or die: every form gives one result or one kind of error."""

import functools

import numpy as np
import pytest

import export
import keras_side
import torch_side
from biport import reference
from biport.errors import BiportError, InputError, UnsupportedError, WeightError

V, CLASSES = 23, 1
TF2ONNX = pytest.param("ONNX tf2onnx", marks=pytest.mark.sweep)
FORMS = ("reference", "Keras", "torch", "ONNX fused", TF2ONNX)


@pytest.fixture(scope="module")
def forms(keras_model, tmp_path_factory):
    """Each form of one masked two-layer model, as a function of its arrays."""
    folder = tmp_path_factory.mktemp("forms")
    graph = keras_side.read(keras_model)
    module = torch_side.write(graph)
    export.write(graph, folder / "fused.onnx")
    fused = export.Session(folder / "fused.onnx", "cpu")

    @functools.cache
    def baseline() -> export.Session:
        export.write_tf2onnx(keras_model, folder / "tf2onnx.onnx")
        return export.Session(folder / "tf2onnx.onnx", "cpu")

    return {
        "reference": lambda arrays: reference.run(graph, arrays),
        "Keras": lambda arrays: keras_side.run(keras_model, arrays, graph),
        "torch": lambda arrays: torch_side.run(module, arrays),
        "ONNX fused": fused.run,
        "ONNX tf2onnx": lambda arrays: baseline().run(arrays),
    }


@pytest.fixture(scope="module")
def padding(forms) -> np.ndarray:
    """What the initial state gives: the oracle's answer to a row of nothing but padding, ``(1, 1)``."""
    return forms["reference"]([np.zeros((1, 4), "int32")])[0]


@pytest.mark.parametrize("form", FORMS)
def test_an_empty_batch_gives_an_empty_result(forms, form: str) -> None:
    (found,) = forms[form]([np.zeros((0, 5), "int32")])
    assert found.shape == (0, CLASSES)


@pytest.mark.parametrize("form", ["reference", "ONNX fused"])
def test_no_time_steps_give_the_initial_state(forms, padding, form: str) -> None:
    (found,) = forms[form]([np.zeros((3, 0), "int32")])
    np.testing.assert_allclose(found, np.repeat(padding, 3, 0), atol=1e-6)


@pytest.mark.parametrize("form", ["Keras", "torch", TF2ONNX])
def test_forms_that_cannot_run_over_no_time_steps_say_so(forms, form: str) -> None:
    with pytest.raises(InputError, match=r"T = 0|no time steps|empty|shapes"):
        forms[form]([np.zeros((3, 0), "int32")])


@pytest.mark.parametrize("form", FORMS)
def test_a_row_of_padding_gives_the_initial_state(forms, padding, form: str) -> None:
    alone = forms[form]([np.zeros((1, 4), "int32")])[0]
    among = forms[form]([np.array([[1, 2, 3, 0], [0, 0, 0, 0], [0, 5, 0, 6]], "int32")])[0]
    np.testing.assert_allclose(alone, padding, atol=1e-6)
    np.testing.assert_allclose(among[1:2], padding, atol=1e-6)


BAD = {
    "an id of V": np.array([[1, V]]),
    "an id of -1": np.array([[1, -1]]),
    "float ids": np.array([[1.0, 2.0]]),
    "no batch": np.array([1, 2]),
    "text": np.array([["good", "film"]]),
}


@pytest.mark.parametrize("fault", BAD)
@pytest.mark.parametrize("form", FORMS)
def test_bad_ids_are_refused(forms, form: str, fault: str) -> None:
    with pytest.raises(InputError) as caught:
        forms[form]([BAD[fault]])
    if fault.startswith("an id"):
        assert str(BAD[fault].ravel()[1]) in str(caught.value)
        assert f"[0, {V})" in str(caught.value)


@pytest.mark.parametrize("form", FORMS)
def test_the_wrong_number_of_inputs_is_refused(forms, form: str) -> None:
    ids = np.ones((2, 3), "int32")
    with pytest.raises(InputError, match="takes 1 input"):
        forms[form]([ids, ids])


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite_are_refused_and_named(keras_model, tmp_path, number: float) -> None:
    import torch

    module = torch_side.write(keras_side.read(keras_model))
    kept = keras_model.get_weights()
    broken = [array.copy() for array in kept]
    broken[2].ravel()[3] = number
    try:
        keras_model.set_weights(broken)
        keras_model.save(tmp_path / "broken.keras")
        for source in (keras_model, tmp_path / "broken.keras"):
            with pytest.raises(WeightError, match=r"'bilstm_1'.*NaN or infinite"):
                keras_side.read(source)
    finally:
        keras_model.set_weights(kept)
    with torch.no_grad():
        dict(module.named_parameters())["bilstm_1.weight_hh_l0"][0, 0] = number
    with pytest.raises(BiportError, match=r"bilstm_1.*NaN or infinite"):
        torch_side.read(module)


def test_a_truncated_file_says_what_is_wrong(keras_file, tmp_path) -> None:
    whole = keras_file.read_bytes()
    for share in (0.1, 0.5, 0.99):
        path = tmp_path / "cut.keras"
        path.write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(BiportError, match=r"cut\.keras: truncated or damaged"):
            keras_side.read(path)


def test_a_lambda_is_refused_by_name(tmp_path) -> None:
    import keras

    twice = keras.layers.Lambda(lambda x: x * 2, name="twice", output_shape=(None, 3))
    model = keras.Sequential([keras.Input((None, 3)), twice, keras.layers.LSTM(2)])
    model.save(tmp_path / "lambda.keras")
    with pytest.raises(
        UnsupportedError, match=r"lambda\.keras.*'twice' \(Lambda\).*supported: .*Activation, Reshape"
    ):
        keras_side.read(tmp_path / "lambda.keras")
    assert keras_side.read(model).outputs
