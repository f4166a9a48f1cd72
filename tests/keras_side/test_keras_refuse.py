"""What biport does not port is refused by name: model or file, layer, class, setting and what would do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
from keras import layers

import keras_side
from biport.errors import (
    BiportError,
    GraphError,
    InputError,
    UnsupportedError,
    UnsupportedModelError,
    WeightError,
)
from keras_side.models.sentiment import sentiment
from testing.keras_models import (
    E,
    H,
    V,
    edited,
    embedding,
    floats,
    layer_config,
    members,
    randomize,
    tiny,
    tokens,
    write_members,
)


@pytest.fixture(scope="module")
def tiny_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "tiny.keras"
    tiny().save(path)
    return path


@keras.saving.register_keras_serializable("mine")
class Doubled(layers.Layer):
    def call(self, x: Any) -> Any:
        return x * 2


def hard_sigmoid_keras2(x: Any) -> Any:
    """A function of the user's, called what biport calls one of its own."""
    return x


@keras.saving.register_keras_serializable("mine", "hard_sigmoid_keras2")
def of_another_package(x: Any) -> Any:
    return x


class Subclassed(keras.Model):
    def __init__(self) -> None:
        super().__init__(name="own")
        self.head = layers.Dense(2)

    def call(self, x: Any) -> Any:
        return self.head(x)


def of_features(*chain: Any) -> keras.Model:
    return keras.Sequential([keras.Input((7, E)), *chain], name="model")


def einsum(name: str) -> layers.Layer:
    return layers.EinsumDense("nti,io->nto", (None, 2), name=name)


def unequal_states() -> keras.Model:
    one, two = layers.LSTM(3, return_state=True), layers.GRU(3, return_state=True, go_backwards=True)
    x = keras.Input((None, E))
    both = layers.Bidirectional(one, backward_layer=two, name="it")
    return keras.Model(x, both(x)[0], name="model")


def unrolled_backwards() -> keras.Model:
    ids = keras.Input((5,), dtype="int32")
    settings: Any = {"return_sequences": True, "go_backwards": True, "zero_output_for_mask": True}
    return keras.Model(ids, layers.GRU(H, unroll=True, name="it", **settings)(embedding()(ids)), name="model")


def unrolled_both_ways(turned: bool = False) -> keras.Model:
    ids = keras.Input((5,), dtype="int32")
    one = layers.SimpleRNN(H, unroll=True, return_sequences=True, go_backwards=turned)
    other = layers.SimpleRNN(H, return_sequences=True) if turned else None
    both = layers.Bidirectional(one, backward_layer=other, name="it")
    return keras.Model(ids, both(embedding()(ids)), name="model")


def trained_call() -> keras.Model:
    x = keras.Input((None, E))
    return keras.Model(x, layers.LSTM(H, dropout=0.5, name="it")(x, training=True), name="model")


def operation() -> keras.Model:
    x: Any = keras.Input((E,))
    return keras.Model(x, layers.Dense(2, name="it")(keras.ops.cbrt(x)), name="model")


def output_of_an_operation() -> keras.Model:
    x = keras.Input((E,))
    return keras.Model(x, keras.ops.median(layers.Dense(2)(x), axis=1), name="model")


def stateful() -> keras.Model:
    x = keras.Input(batch_shape=(2, None, E))
    return keras.Model(x, layers.LSTM(H, stateful=True, name="it")(x), name="model")


def floats_into_integers() -> keras.Model:
    """Keras cuts the numbers to integers at the inner model's input, without a word."""
    inside = keras.Input((None, E), dtype="int32", name="it")
    x = keras.Input((None, E))
    return keras.Model(x, keras.Model(inside, layers.Dense(2)(inside))(layers.Dense(E)(x)), name="model")


def quantised() -> keras.Model:
    with floats("float32"):
        model = of_features(layers.Dense(2, name="it"))
        model.get_layer("it").quantize("int8")
        return model


REFUSED: list[tuple[str, Callable[[], keras.Model], list[str]]] = [
    ("einsum", lambda: of_features(einsum("it")), ["'it'", "EinsumDense"]),
    (
        "sparsemax gate",
        lambda: of_features(layers.GRU(H, recurrent_activation="sparsemax", name="it")),
        ["'it'", "recurrent_activation='sparsemax'", "'sparse_sigmoid'"],
    ),
    (
        "sparsemax cell",
        lambda: of_features(layers.RNN([layers.LSTMCell(H, activation="sparsemax")], name="it")),
        ["'it'", "cells[0] (LSTMCell)", "activation='sparsemax'"],
    ),
    (
        "bidirectional sparsemax",
        lambda: of_features(layers.Bidirectional(layers.LSTM(H, activation="sparsemax"), name="it")),
        ["'it'", "forward_layer (LSTM)", "activation='sparsemax'", "'softmax'"],
    ),
    ("states of unequal halves", unequal_states, ["'it'", "backward_layer states", "(3, 3)"]),
    ("unrolled backwards", unrolled_backwards, ["'it'", "unroll=True", "Keras zeroes the wrong steps"]),
    ("unrolled both ways", unrolled_both_ways, ["'it'", "backward_layer", "unroll=True"]),
    ("unrolled, forward layer backwards", lambda: unrolled_both_ways(turned=True), ["'it'", "unroll=True"]),
    (
        "bicubic",
        lambda: of_features(
            layers.Reshape((7, 1, E)), layers.UpSampling2D(2, interpolation="bicubic", name="it")
        ),
        ["'it'", "interpolation='bicubic'", "'bilinear'"],
    ),
    (
        "sparsemax",
        lambda: of_features(layers.Dense(2, "sparsemax", name="it")),
        ["'it'", "Dense", "'sparsemax'", "'sparse_plus'"],
    ),
    (
        "a layer as activation of a cell",
        lambda: of_features(layers.GRU(2, activation=layers.LeakyReLU(0.3), name="it")),
        ["'it'", "GRU", "LeakyReLU", "'leaky_relu'"],
    ),
    (
        "noise_shape",
        lambda: of_features(layers.Dropout(0.5, noise_shape=(None, 1, E), name="it"), layers.Dense(1)),
        ["'it'", "Dropout", "noise_shape"],
    ),
    (
        "channels_first",
        lambda: of_features(layers.Conv1D(E, 1, data_format="channels_first", name="it")),
        ["'it'", "data_format='channels_first'", "channels_last where"],
    ),
    ("quantised", quantised, ["'it'", "dtype='int8'", "before quantize()", "--int8"]),
    ("training=True", trained_call, ["'it'", "training"]),
    ("stateful", stateful, ["'it'", "stateful=True", "False"]),
    ("floats into integers", floats_into_integers, ["'it'", "dtype='int32'"]),
    ("operation", operation, ["Cbrt"]),
    ("output of an operation", output_of_an_operation, ["Median"]),
]


@pytest.mark.parametrize("build, words", [entry[1:] for entry in REFUSED], ids=[e[0] for e in REFUSED])
def test_refused(build: Callable[[], keras.Model], words: list[str], tmp_path: Path) -> None:
    model = build()
    model.save(tmp_path / "refused.keras")
    for source, owner in ((model, "model 'model'"), (tmp_path / "refused.keras", "refused.keras")):
        with pytest.raises(UnsupportedError) as caught:
            keras_side.read(source)
        assert isinstance(caught.value, UnsupportedModelError)
        text = str(caught.value)
        assert text.startswith(owner)
        assert not [word for word in words if word not in text], text
        assert "supported: " in text
        assert len(caught.value.problems) == 1
        assert caught.value.exit_code == 3


@pytest.mark.parametrize(
    "build",
    [build for name, build, _ in REFUSED if name in ("einsum", "sparsemax gate")],
    ids=["einsum", "gate"],
)
def test_the_reason_as_data(build: Callable[[], keras.Model]) -> None:
    with pytest.raises(UnsupportedModelError) as caught:
        keras_side.read(build())
    (reason,) = caught.value.reasons()
    assert set(reason) == {"owner", "layer", "class", "setting", "value", "supported"}
    assert "'it'" in reason["owner"]
    assert reason["supported"]


CODE: list[tuple[str, Callable[[], keras.Model], list[str]]] = [
    (
        "lambda",
        lambda: of_features(layers.Lambda(lambda x: x, name="it")),
        ["'it'", "Lambda", "Reshape"],
    ),
    ("custom", lambda: of_features(Doubled(name="it")), ["'it'", "Doubled"]),
    (
        "a function of the user's",
        lambda: of_features(layers.Dense(2, hard_sigmoid_keras2, name="it")),
        ["'it'", "Dense", "activation", "'hard_sigmoid_keras2'"],
    ),
    (
        "a function of another package",
        lambda: of_features(layers.Activation(of_another_package, name="it")),
        ["'it'", "Activation", "activation", "mine>hard_sigmoid_keras2"],
    ),
]
"""What only running code would tell: it is read live, and in a file refused."""


@pytest.mark.parametrize("make, words", [case[1:] for case in CODE], ids=[case[0] for case in CODE])
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_code_in_a_file_is_refused(
    make: Callable[[], keras.Model], words: list[str], suffix: str, tmp_path: Path
) -> None:
    make().save(tmp_path / f"model{suffix}")
    with pytest.raises(UnsupportedError) as caught:
        keras_side.read(tmp_path / f"model{suffix}")
    for word in words:
        assert word in str(caught.value)


def test_all_problems_at_once(tmp_path: Path) -> None:
    ids = tokens()
    x = embedding()(ids)
    y = einsum("first")(x)
    z = layers.LSTM(H, activation="sparsemax", name="second")(x)
    w = layers.Dropout(0.1, noise_shape=(None, 1), name="third")(z)
    outputs = [layers.Dense(1)(y), layers.Dense(1)(w), layers.Dense(2, "sparsemax", name="fourth")(x)]
    functional = keras.Model(ids, outputs, name="many")
    sequential = of_features(
        einsum("first"),
        layers.LSTM(H, activation="sparsemax", name="second"),
        layers.Dropout(0.1, noise_shape=(None, 1), name="third"),
        layers.Dense(2, "sparsemax", name="fourth"),
    )
    sequential.save(tmp_path / "many.keras")
    for source in (functional, sequential, tmp_path / "many.keras"):
        with pytest.raises(UnsupportedModelError) as caught:
            keras_side.read(source)
        assert len(caught.value.problems) == 4
        reasons = {(reason["layer"], reason["class"], reason["setting"]) for reason in caught.value.reasons()}
        assert reasons == {
            ("first", "EinsumDense", "class"),
            ("second", "LSTM", "activation"),
            ("third", "Dropout", "noise_shape"),
            ("fourth", "Dense", "activation"),
        }
        text = str(caught.value)
        for name in ("first", "second", "third", "fourth"):
            assert f"'{name}'" in text


def told(model: keras.Model) -> set[str]:
    """The classes of what is refused, as data; none of them is offered in its own place."""
    with pytest.raises(UnsupportedModelError) as caught:
        keras_side.read(model)
    reasons = caught.value.reasons()
    assert len(reasons) == len({(reason["layer"], reason["setting"]) for reason in reasons})
    assert not [reason for reason in reasons if reason["class"] in reason["supported"]]
    return {reason["class"] for reason in reasons}


def test_all_operations_at_once_and_what_is_behind_them() -> None:
    """Whether they are behind each other, side by side, in front of a refused layer, or give outputs."""
    x: Any = keras.Input((None, E))
    steps: Any = layers.LSTM(H, return_sequences=True)(x)
    behind = keras.ops.exp(keras.ops.cbrt(keras.ops.median(keras.ops.sinc(steps), axis=1)))
    assert told(keras.Model(x, layers.Dense(2)(behind))) == {"Cbrt", "Median", "Sinc"}
    pooled = [keras.ops.median(steps, axis=1), keras.ops.nanmax(steps, axis=1)]
    assert told(keras.Model(x, layers.Dense(2)(keras.ops.concatenate(pooled, axis=1)))) == {
        "Median",
        "Nanmax",
    }
    assert told(keras.Model(x, layers.Add()(pooled))) == {"Median", "Nanmax"}
    assert told(keras.Model(x, pooled)) == {"Median", "Nanmax"}
    refused = einsum("einsum")(keras.ops.cbrt(steps))
    assert told(keras.Model(x, layers.Dense(2)(refused))) == {"Cbrt", "EinsumDense"}
    inside: Any = keras.Input((None, E))
    inner = keras.Model(inside, [keras.ops.cbrt(inside), keras.ops.sinc(inside)])
    assert told(keras.Model(x, layers.Add()(inner(x)))) == {"Cbrt", "Sinc"}


def test_one_reason_is_one_line_for_all_its_layers() -> None:
    model = of_features(*(layers.Dropout(0.1, noise_shape=(None, 1), name=f"d{n}") for n in range(9)))
    with pytest.raises(UnsupportedModelError) as caught:
        keras_side.read(model)
    heading, line = str(caught.value).splitlines()
    assert "9 things" in heading
    assert line.count("noise_shape") == 1
    assert all(f"'d{n}' (Dropout)" in line for n in range(8))
    assert "and 1 more" in line


def test_a_subclassed_model_in_a_file_is_refused(tmp_path: Path) -> None:
    model = Subclassed()
    model(np.ones((2, E), "float32"))
    model.save(tmp_path / "own.keras")
    with pytest.raises(UnsupportedError, match=r"own\.keras.*Subclassed"):
        keras_side.read(tmp_path / "own.keras")


def test_custom_layers_in_a_file_are_not_looked_up(tmp_path: Path) -> None:
    """Even one that pretends to be a layer of Keras: only names on the list are read."""
    of_features(Doubled(name="it")).save(tmp_path / "a.keras")

    def disguise(data: dict) -> None:
        for entry in data["config"]["layers"]:
            if entry["class_name"] == "Doubled":
                entry |= {"module": "keras.layers", "registered_name": None}

    with pytest.raises(UnsupportedError, match=r"'it'.*Doubled"):
        keras_side.read(edited(tmp_path / "a.keras", tmp_path / "b.keras", disguise))


@pytest.mark.parametrize(
    "layer, setting, value",
    [
        ("head", "quantization_config", {"class_name": "Int8"}),
        ("head", "lora_rank", 4),
        ("lstm", "a_setting_of_keras_9", True),
        ("embedding", "a_setting_of_keras_9", None),
        ("lstm", "dtype", "float8"),
        ("lstm", "dtype", "int8_from_mixed_bfloat16"),
        ("head", "dtype", {"class_name": "QuantizedDTypePolicy", "config": {"mode": "int8"}}),
    ],
)
def test_unknown_settings_in_a_file(
    layer: str, setting: str, value: object, tiny_file: Path, tmp_path: Path
) -> None:
    def change(data: dict) -> None:
        layer_config(data, layer)[setting] = value

    path = edited(tiny_file, tmp_path / "changed.keras", change)
    with pytest.raises(UnsupportedModelError) as caught:
        keras_side.read(path)
    for word in ("changed.keras", f"'{layer}'", setting):
        assert word in str(caught.value)


@pytest.mark.parametrize(
    "said",
    [
        "hard_sigmoid_keras2",
        "biport>hard_sigmoid_keras2",
        {
            "module": "builtins",
            "config": "hard_sigmoid_keras2",
            "registered_name": "biport>hard_sigmoid_keras2",
        },
        {"module": "biport", "config": "relu", "registered_name": "biport>hard_sigmoid_keras2"},
        {"module": "builtins", "config": "biport>relu", "registered_name": "function"},
        {"module": "builtins", "config": "biport>hard_sigmoid_keras2>x", "registered_name": "function"},
    ],
)
def test_what_keras_would_not_take_for_the_hard_sigmoid_of_keras_2(
    said: Any, tiny_file: Path, tmp_path: Path
) -> None:
    def change(data: dict) -> None:
        layer_config(data, "head")["activation"] = (
            said if isinstance(said, str) else {"class_name": "function"} | said
        )

    with pytest.raises(UnsupportedModelError, match=r"'head'.*activation"):
        keras_side.read(edited(tiny_file, tmp_path / "changed.keras", change))


def test_a_model_that_was_never_built() -> None:
    with pytest.raises(InputError, match="build"):
        keras_side.read(keras.Sequential([layers.LSTM(H), layers.Dense(1)], name="unbuilt"))


def test_floats_are_not_cut_to_integers_by_a_model_inside() -> None:
    inside = keras.Input((None, E), dtype="int32")
    x = keras.Input((None, E))
    model = keras.Model(x, keras.Model(inside, layers.Dense(2)(inside))(x))
    with pytest.raises(BiportError, match="Dense takes float"):
        keras_side.read(model)


def test_a_file_that_was_saved_unbuilt(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="not yet been built"):
        keras.Sequential([layers.LSTM(H), layers.Dense(1)]).save(tmp_path / "unbuilt.keras")
    with pytest.raises(UnsupportedError, match=r"unbuilt\.keras.*built"):
        keras_side.read(tmp_path / "unbuilt.keras")


def test_something_else_is_no_model() -> None:
    with pytest.raises(UnsupportedError, match="int"):
        keras_side.read(3)
    with pytest.raises(UnsupportedError, match="Dense"):
        keras_side.read(layers.Dense(1))


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("layer", ["embedding", "bilstm_2", "classifier"])
def test_weights_that_are_not_finite(layer: str, number: float, tmp_path: Path) -> None:
    model = randomize(sentiment(V, E, units=(H, 2)))
    weights = model.get_layer(layer).get_weights()
    weights[-1].flat[1 if weights[-1].size > 1 else 0] = number
    model.get_layer(layer).set_weights(weights)
    model.save(tmp_path / "a.keras")
    for source in (model, tmp_path / "a.keras"):
        with pytest.raises(WeightError, match=f"'{layer}'.*NaN or infinite"):
            keras_side.read(source)


def rewritten(source: Path, target: Path, change: Callable[[h5py.File], None]) -> Path:
    """A copy of a model file with its weights file changed."""
    parts = members(source)
    weights = target.with_suffix(".h5")
    weights.write_bytes(parts["model.weights.h5"])
    with h5py.File(weights, "r+") as file:
        change(file)
    return write_members(target, parts | {"model.weights.h5": weights.read_bytes()})


def _reshape(name: str, shape: tuple[int, ...]) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        del file[name]
        file[name] = np.full(shape, 0.5, "float32")

    return change


@pytest.mark.parametrize(
    "change, words",
    [
        (_reshape("layers/embedding/vars/0", (V + 1, E)), "'embedding'.*weight should have shape"),
        (_reshape("layers/embedding/vars/0", (V * E,)), "'embedding'.*weight should have shape"),
        (_reshape("layers/lstm/cell/vars/0", (E, 4 * H + 1)), "'lstm'.*gates"),
        (_reshape("layers/lstm/cell/vars/0", (E, 4 * H + 4)), "'lstm'.*weight_ih"),
        (_reshape("layers/lstm/cell/vars/1", (H + 1, 4 * H)), "'lstm'.*weight_hh"),
        (_reshape("layers/lstm/cell/vars/2", ()), "'lstm'"),
        (_reshape("layers/lstm/cell/vars/0", ()), "'lstm'"),
        (_reshape("layers/dense/vars/0", ()), "'head'"),
        (_reshape("layers/dense/vars/0", (H, 2, 1)), "'head'.*shape"),
        (_reshape("layers/dense/vars/0", (H + 1, 2)), "head"),
        (_reshape("layers/dense/vars/1", (3,)), "'head'.*bias should have shape"),
        (lambda file: file.pop("layers/dense/vars/1"), "'head'.*found 1"),
        (lambda file: file.pop("layers/lstm"), "'lstm'.*found 0"),
        (lambda file: file.pop("layers"), "found 0"),
        (lambda file: file.create_dataset("layers/dense/vars/2", data=np.ones(2, "f4")), "'head'.*found 3"),
    ],
)
def test_weights_that_do_not_fit(
    change: Callable[[h5py.File], Any], words: str, tiny_file: Path, tmp_path: Path
) -> None:
    path = rewritten(tiny_file, tmp_path / "bad.keras", change)
    with pytest.raises(BiportError, match=words) as caught:
        keras_side.read(path)
    assert "bad.keras" in str(caught.value)
    assert isinstance(caught.value, WeightError | GraphError)
