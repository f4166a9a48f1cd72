"""ConvLSTM layers of Keras 3 and 2: read, computed by the reference, written again; Keras is the truth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import keras_side
from biport import ops, reference
from biport.errors import UnsupportedError
from biport.graph import Graph, Node, Value
from testing.keras_models import floats, randomize
from testing.masks import MASKS, valid_steps

layers: Any = keras.layers
I, H = 2, 3
SIZES = {1: (6,), 2: (5, 4), 3: (4, 3, 5)}
KERNEL = (2, 3, 2)

SETTINGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "same": {"padding": "same", "use_bias": False, "return_sequences": True},
    "strides": {"padding": "same", "strides": 2, "recurrent_activation": "hard_sigmoid"},
    "dilation": {"padding": "same", "dilation_rate": 2, "return_sequences": True, "activation": "softmax"},
    "backwards": {"go_backwards": True, "return_sequences": True, "zero_output_for_mask": True},
    "strides, valid": {"strides": 2, "return_sequences": True, "go_backwards": True},
}
MERGES = ("concat", "sum", "mul", "ave", None)


def layer(dimensions: int, merge: Any = "", **settings: Any) -> Any:
    kind = getattr(layers, f"ConvLSTM{dimensions}D")
    one = kind(H, KERNEL[:dimensions], return_state=True, **settings)
    return one if merge == "" else layers.Bidirectional(one, merge_mode=merge)


def model_of(dimensions: int, own: Any, states: bool) -> keras.Model:
    x = keras.Input((None, *SIZES[dimensions], I))
    mask = keras.Input((None,), dtype="bool")
    plain = own(x, mask=mask)
    given: list[Any] = []
    outputs = plain
    if states:
        given = [keras.Input(state.shape[1:]) for state in plain[-2:]]
        outputs = own(x, mask=mask, initial_state=given)
    return randomize(keras.Model([x, mask, *given], outputs))


def every_pattern(T: int, rng: np.random.Generator) -> np.ndarray:
    """Three rows of every pattern of mask ``(N, T)``, in one batch."""
    return np.concatenate([valid_steps(pattern, 3, T, rng) for pattern in MASKS])


def inputs_of(model: keras.Model, T: int = 5) -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    mask = every_pattern(T, rng)
    arrays = []
    for number, tensor in enumerate(model.inputs):
        if tensor.dtype == "bool":
            arrays.append(mask)
            continue
        front = mask.shape if number == 0 else mask.shape[:1]
        arrays.append(rng.normal(size=(*front, *tensor.shape[len(front) :])).astype(tensor.dtype))
    return arrays


def check(model: keras.Model, allowed: float = 1e-12) -> None:
    graph = keras_side.read(model)
    arrays = inputs_of(model)
    for mine, wanted in zip(reference.run(graph, arrays), keras.tree.flatten(model(arrays)), strict=True):
        np.testing.assert_allclose(mine, np.asarray(wanted), rtol=0, atol=allowed)
    again = keras_side.write(graph)
    assert keras_side.read(again) == graph
    kinds = {type(part).__name__ for part in again._flatten_layers()}
    assert any(kind.startswith("ConvLSTM") for kind in kinds)


def test_a_masked_layer_with_states() -> None:
    with floats("float64"):
        check(model_of(2, layer(2, **SETTINGS["strides, valid"]), states=True))


@pytest.mark.sweep
@pytest.mark.parametrize("states", [False, True])
@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("dimensions", SIZES)
def test_every_setting(dimensions: int, name: str, states: bool) -> None:
    with floats("float64"):
        check(model_of(dimensions, layer(dimensions, **SETTINGS[name]), states))


@pytest.mark.sweep
@pytest.mark.parametrize("merge", MERGES)
@pytest.mark.parametrize("name", ["plain", "same", "strides"])
@pytest.mark.parametrize("dimensions", SIZES)
def test_both_directions(dimensions: int, name: str, merge: str | None) -> None:
    with floats("float64"):
        check(model_of(dimensions, layer(dimensions, merge, **SETTINGS[name]), states=False))


def stack() -> keras.Model:
    """The next frame of a film, as Keras' own example has it, and what it is of."""
    x = keras.Input((None, 6, 5, 1))
    y: Any = x
    for kernel in (5, 3, 1):
        y = layers.ConvLSTM2D(3, kernel, padding="same", return_sequences=True, activation="relu")(y)
        y = layers.BatchNormalization()(y)
    frame = layers.Conv3D(1, 3, padding="same", activation="sigmoid")(y)
    last = layers.Flatten()(layers.ConvLSTM2D(2, 2, dropout=0.1, recurrent_dropout=0.2)(y))
    model = randomize(keras.Model(x, [frame, layers.Dense(2)(last)]))
    for weight in model.weights:
        if "variance" in weight.path:
            weight.assign(np.abs(weight.numpy()))
    return model


def test_a_file_is_what_the_model_is(tmp_path: Path) -> None:
    model = stack()
    graph = keras_side.read(model)
    for name in ("model.keras", "model.h5"):
        model.save(tmp_path / name)
        assert keras_side.read(tmp_path / name) == graph
    assert [node.op.kind for node in graph.nodes].count("ConvLSTM2D") == 4
    last = next(node.op for node in graph.nodes if getattr(node.op, "dropout", 0))
    assert isinstance(last, ops.ConvLSTM2D)
    assert (last.dropout, last.recurrent_dropout) == (0.1, 0.2)


@pytest.mark.sweep
@pytest.mark.parametrize("dimensions", [1, 2])
def test_channels_first(dimensions: int) -> None:
    """In float32, which TensorFlow convolves like that on a CPU; as many filters as the last axis has."""
    *sizes, last = SIZES[dimensions]
    kind, kernel = getattr(layers, f"ConvLSTM{dimensions}D"), KERNEL[:dimensions]
    x, mask = keras.Input((None, I, *sizes, last)), keras.Input((None,), dtype="bool")
    states = [keras.Input((last, *sizes, last)) for _ in "hc"]
    settings: dict[str, Any] = {"padding": "same", "return_state": True, "return_sequences": True}
    own = kind(last, kernel, data_format="channels_first", **settings)
    model = randomize(keras.Model([x, mask, *states], own(x, mask=mask, initial_state=states)))
    graph = keras_side.read(model)
    arrays = inputs_of(model)
    for mine, wanted in zip(reference.run(graph, arrays), model(arrays), strict=True):
        np.testing.assert_allclose(mine, np.asarray(wanted), rtol=0, atol=3e-6)


def test_kept_states_of_channels_first() -> None:
    x = keras.Input(batch_shape=(2, 3, I, 4))
    y = layers.ConvLSTM1D(H, 2, stateful=True, data_format="channels_first", name="it")(x)
    model = keras.Model(x, y)
    with pytest.raises(UnsupportedError, match=r"'it' \(ConvLSTM1D\): data_format='channels_first'"):
        keras_side.read(model, states="explicit")
    assert keras_side.read(model, states="zero").outputs


def test_what_keras_lacks() -> None:
    array = {gate: np.ones((1, 1, 1), "float32") for gate in "ifco"}
    op = ops.ConvLSTM1D(
        input_size=1,
        hidden_size=1,
        kernel_size=(1,),
        strides=(2,),
        dilation=(2,),
        weight_ih=array,
        weight_hh=array,
        bias=None,
    )
    graph = Graph((Value("x", ("N", "T", 4, 1), "float32"),), (Node("it", op, ("x",)),), ("it",))
    with pytest.raises(UnsupportedError, match=r"strides=\(2,\).*1 where there is a dilation"):
        keras_side.write(graph)


@pytest.mark.sweep
@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
@pytest.mark.parametrize("suffix", ["h5", "keras"])
def test_keras_2(suffix: str, tmp_path: Path) -> None:
    """Whose default is another ``hard_sigmoid``."""
    tf_keras = pytest.importorskip("tf_keras")
    own = tf_keras.layers
    x, mask = own.Input((None, 6, 5, I)), own.Input((None,), dtype="bool")
    both = own.Bidirectional(own.ConvLSTM2D(H, 3, padding="same", return_sequences=True), merge_mode="ave")
    y = own.ConvLSTM2D(2, (2, 1), strides=2, return_state=True)(own.Activation("tanh")(both(x, mask=mask)))
    model = tf_keras.Model([x, mask], y)
    rng = np.random.default_rng(0)
    model.set_weights([0.2 + 0.3 * rng.random(weight.shape) for weight in model.get_weights()])
    model.save(tmp_path / f"model.{suffix}")
    graph = keras_side.read(tmp_path / f"model.{suffix}")
    mask = every_pattern(4, rng)
    arrays = [rng.normal(size=(*mask.shape, 6, 5, I)).astype("float32"), mask]
    for mine, wanted in zip(reference.run(graph, arrays), model(arrays), strict=True):
        np.testing.assert_allclose(mine, np.asarray(wanted), rtol=0, atol=3e-6)
