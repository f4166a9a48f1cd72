"""A configuration changed at random gives a graph or a typed error, never anything else."""

from __future__ import annotations

import json
import random
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import pytest
from keras import layers

import keras_side
from biport.errors import BiportError
from biport.graph import Graph
from testing.keras_models import embedding, randomize, tokens

VALUES: list[Any] = [
    None, True, 0, -1, 1.5, "x", "", [], {}, [[]], [None], 10**12, "Functional", "same", [1, 2], [-1], 1e400,
    ["a", 0, 0], {"config": {}}, {"class_name": "x"}, {"class_name": "__keras_tensor__", "config": 3},
]  # fmt: skip


def recurrent() -> keras.Model:
    """Kinds of cells, stacks, states handed on, a backward layer of its own."""
    ids = tokens()
    x, h, c = layers.LSTM(3, return_sequences=True, return_state=True)(embedding()(ids))
    x = layers.GRU(2, return_sequences=True, reset_after=False, zero_output_for_mask=True)(x)
    x = layers.RNN(layers.StackedRNNCells([layers.LSTMCell(3), layers.GRUCell(2)]), return_sequences=True)(x)
    x = layers.LSTM(3, return_sequences=True)(x, initial_state=[h, c])
    backward = layers.SimpleRNN(2, go_backwards=True)
    return keras.Model(ids, [layers.Bidirectional(layers.GRU(2), backward_layer=backward)(x), h])


def small() -> keras.Model:
    """Windows, normalisation, activations, noise and shapes in a row."""
    x = start = keras.Input((8, 4), name="x")
    parts = [
        layers.Masking(0.5), layers.TimeDistributed(layers.Dense(4, "relu")), layers.LayerNormalization(),
        layers.Activation("gelu"), layers.Conv1D(4, 2, dilation_rate=2, groups=2, padding="causal"),
        layers.BatchNormalization(), layers.MaxPooling1D(2, padding="same"), layers.ReLU(6.0, 0.1, 0.2),
        layers.ZeroPadding1D(2), layers.Cropping1D((1, 0)), layers.UpSampling1D(2),
        layers.AveragePooling1D(2), layers.PReLU(shared_axes=[1]), layers.ELU(0.5), layers.LeakyReLU(0.1),
        layers.GaussianNoise(0.1),
        layers.GaussianDropout(0.1), layers.AlphaDropout(0.1), layers.SpatialDropout1D(0.1),
        layers.ActivityRegularization(0.1), layers.Identity(), layers.Reshape((-1, 2)),
        layers.Permute((2, 1)), layers.Softmax(axis=1), layers.Flatten(), layers.RepeatVector(3),
        layers.GlobalMaxPooling1D(),
    ]  # fmt: skip
    for part in parts:
        x = part(x)
    return keras.Model(start, x)


def merged() -> keras.Model:
    """Every merge, over two masks."""
    ids = [tokens("a"), tokens("b")]
    one, two = embedding("one")(ids[0]), embedding("two")(ids[1])
    kinds = ("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", "Concatenate")
    merged = [getattr(layers, kind)()([one, two]) for kind in kinds]
    scores = layers.Dot(axes=2, normalize=True)([one, two])
    inner = keras.Sequential([keras.Input((None, 5)), layers.LSTM(2)])
    return keras.Model(
        ids, [layers.LSTM(2)(x) for x in merged] + [inner(one), layers.Dot(axes=(2, 1))([scores, two])]
    )


MODELS: dict[str, Callable[[], keras.Model]] = {"recurrent": recurrent, "small": small, "merged": merged}


def paths(data: Any, path: tuple = ()) -> Iterator[tuple]:
    """The paths of everything inside ``data``."""
    if path:
        yield path
    members = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in members:
        yield from paths(value, (*path, key))


def changed(text: str, rng: random.Random) -> str:
    """The JSON with one member replaced or removed."""
    data = json.loads(text)
    *path, last = rng.choice(list(paths(data)))
    holder = data
    for key in path:
        holder = holder[key]
    if rng.random() < 0.25:
        del holder[last]
    else:
        holder[last] = rng.choice(VALUES)
    return json.dumps(data)


def outcomes(source: Path, target: Path, rng: random.Random, count: int) -> set[type]:
    """What reading ``source`` with one change each gives."""
    kinds: set[type] = set()
    with zipfile.ZipFile(source) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    for _ in range(count):
        config = changed(parts["config.json"].decode(), rng)
        with zipfile.ZipFile(target, "w") as archive:
            for name, content in parts.items():
                archive.writestr(name, config if name == "config.json" else content)
        try:
            kinds.add(type(keras_side.read(target)))
        except BiportError as error:
            kinds.add(type(error))
    return kinds


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.sweep) for seed in range(1, 4))])
def test_a_changed_configuration(seed: int, keras_file, tmp_path) -> None:
    kinds = outcomes(keras_file, tmp_path / "changed.keras", random.Random(seed), 100)
    assert Graph in kinds
    assert len(kinds) >= 3


@pytest.mark.parametrize("count", [30, pytest.param(90, marks=pytest.mark.sweep)])
@pytest.mark.parametrize("kind", MODELS)
def test_a_changed_configuration_of_every_layer(kind: str, count: int, tmp_path) -> None:
    model = randomize(MODELS[kind]())
    for variable in model.weights:
        if "variance" in variable.path:
            variable.assign(abs(variable))
    model.save(tmp_path / "model.keras")
    assert keras_side.read(tmp_path / "model.keras") == keras_side.read(model)
    kinds = outcomes(tmp_path / "model.keras", tmp_path / "changed.keras", random.Random(kind), count)
    assert Graph in kinds
    assert len(kinds) >= 3
