"""Layers listed in another order than Keras writes them get the weights that Keras gives them."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
from keras import layers

import keras_side
from biport import reference
from keras_side.reading.call_order import layer_order
from testing.keras_models import edited, randomize

tf_keras = pytest.importorskip("tf_keras")


def branching(K: Any) -> Any:
    """Equal layers in branches of unequal depth, one of them shared, and a model inside, called twice."""
    inner_in = K.Input((3, 2))
    inner = K.Model(
        inner_in, K.layers.Add()([K.layers.Dense(2)(inner_in), K.layers.Dense(2, "tanh")(inner_in)])
    )
    x, y = K.Input((3, 2)), K.Input((3, 2))
    shared = K.layers.Dense(2, "tanh")
    short, long = shared(x), shared(K.layers.Dense(2, "relu")(K.layers.Dense(2, "tanh")(y)))
    parts = [inner(long), inner(short), K.layers.Dense(2)(y), K.layers.GRU(2, return_sequences=True)(x)]
    return K.Model([x, y], [K.layers.Add()(parts), K.layers.Dense(2)(short)])


def shuffled(config: Any, seed: int) -> None:
    """Every list of layers of a functional model in another order."""
    if isinstance(config, dict):
        if config.get("class_name") in ("Functional", "Model"):
            random.Random(seed).shuffle(config["config"]["layers"])
        for part in config.values():
            shuffled(part, seed)
    elif isinstance(config, list):
        for part in config:
            shuffled(part, seed)


def shuffled_file(model: Any, path: Path, seed: int) -> Path:
    written = path.with_name(f"written{path.suffix}")
    model.save(written)
    if path.suffix == ".keras":
        return edited(written, path, lambda data: shuffled(data, seed))
    with h5py.File(written, "r+") as file:
        config = json.loads(str(file.attrs["model_config"]))
        shuffled(config, seed)
        file.attrs["model_config"] = json.dumps(config)
    return written


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("K", [keras, tf_keras], ids=["keras", "tf_keras"])
def test_equal_layers_do_not_change_weights(K: Any, suffix: str, tmp_path: Path) -> None:
    model = branching(K)
    model.set_weights([np.random.default_rng(i).normal(size=w.shape) for i, w in enumerate(model.weights)])
    rng = np.random.default_rng(9)
    arrays = [rng.normal(size=(2, 3, 2)).astype("float32") for _ in "xy"]
    path = shuffled_file(model, tmp_path / f"shuffled{suffix}", seed=1)
    wanted = K.models.load_model(str(path), compile=False)(arrays)
    for ours, theirs in zip(reference.run(keras_side.read(path), arrays, "float32"), wanted, strict=True):
        np.testing.assert_allclose(ours, np.asarray(theirs), rtol=1e-5, atol=1e-5)


def test_an_hdf5_file_that_lists_its_groups_in_another_order(tmp_path: Path) -> None:
    """Keras gives the first list of weights to the first layer, whatever they are called."""
    model = randomize(keras.Sequential([keras.Input((3, 2)), layers.Dense(2, "tanh"), layers.Dense(2)]))
    path = tmp_path / "model.h5"
    model.save(path)
    with h5py.File(path, "r+") as file:
        group: Any = file["model_weights"]
        group.attrs["layer_names"] = group.attrs["layer_names"][::-1]
    x = np.random.default_rng(0).normal(size=(2, 3, 2)).astype("float32")
    loaded: Any = keras.models.load_model(path, compile=False)
    wanted = np.asarray(loaded(x))
    (ours,) = reference.run(keras_side.read(path), [x], "float32")
    np.testing.assert_allclose(ours, wanted, rtol=1e-5, atol=1e-6)
    assert np.abs(ours - np.asarray(model(x))).max() > 1e-3


def test_the_order_is_by_depth_and_then_as_the_search_meets_them() -> None:
    edges = {"out": "ba", "a": "x", "b": "d", "d": "x", "unused": "x", "x": ""}
    parents = {(name, 0): [(above, 0) for above in reads] for name, reads in edges.items()}
    assert layer_order(parents, [("out", 0)]) == ["x", "d", "b", "a", "out", "unused"]
