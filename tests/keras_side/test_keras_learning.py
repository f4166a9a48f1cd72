"""Frozen weights and regularisers: what Keras says of them, live and in files, is read and written back."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, regularizers

import keras_side
from biport import ops
from biport.graph import Graph, Node, Value, all_learning, frozen, penalties, unported
from biport.ops import Learning, Penalty
from keras_side.legacy.settings import layer_settings
from keras_side.release import Release
from testing.graphs import bidirectional, cell

T, I, H = 5, 3, 2
BOTH: dict[str, Any] = {
    "kernel_regularizer": regularizers.L1L2(0.5, 0.25),
    "bias_regularizer": regularizers.L2(0.125),
}
KERNEL, BIAS, RECURRENT = Penalty(0.5, 0.25), Penalty(l2=0.125), Penalty(l1=2)

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*saving your model as an HDF5 file.*:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*does not support masking.*:UserWarning"),
]


def model() -> keras.Model:
    """A layer of each kind, trained in its own way; weights and biases of random numbers."""
    x = ids = keras.Input((T,), dtype="int32", name="ids")
    x = layers.Embedding(7, I, name="table", embeddings_regularizer=regularizers.L1(0.5))(x)
    two = layers.Bidirectional(layers.LSTM(H, return_sequences=True, **BOTH), name="two")
    x = two(x)
    two.forward_layer.trainable = False
    x = layers.GRU(H, recurrent_regularizer=regularizers.L1(2.0), return_sequences=True, name="gru", **BOTH)(
        x
    )
    cells = [layers.LSTMCell(H, trainable=False), layers.SimpleRNNCell(H, **BOTH)]
    x = layers.RNN(cells, return_sequences=True, name="stack")(x)
    x = layers.MultiHeadAttention(1, 2, name="heads", **BOTH)(x, x)
    x = layers.TimeDistributed(layers.Dense(4, trainable=False, **BOTH), name="every")(x)
    x = layers.BatchNormalization(trainable=False, name="norm")(x)
    x = layers.LayerNormalization(gamma_regularizer=regularizers.L2(0.5), name="scaled")(x)
    x = layers.PReLU(alpha_regularizer=regularizers.L2(1.0), shared_axes=[1], name="slopes")(x)
    last = layers.Dense(2, layers.ReLU(3.0), activity_regularizer=regularizers.L2(0.5), name="y", **BOTH)
    made = keras.Model(ids, last(x))
    rng = np.random.default_rng(0)
    made.set_weights([np.abs(rng.normal(size=array.shape)).astype("float32") for array in made.get_weights()])
    return made


def loss(model: Any) -> float:
    """What the weights and the outputs add to the loss."""
    model(np.array([[1, 2, 3, 4, 5], [2, 0, 1, 6, 6]], "int32"), training=False)
    return float(sum(np.asarray(term).sum() for term in model.losses))


def test_a_model_is_read_and_written_back(tmp_path: Path) -> None:
    live: Any = model()
    graph = keras_side.read(live)
    said = all_learning(graph)
    for name in ("m.keras", "m.h5"):
        live.save(tmp_path / name)
        assert all_learning(keras_side.read(tmp_path / name)) == said
    assert said["two"].keys() == {"forward", "backward"}
    assert said["stack"].keys() == {"cells.0", "cells.1"}
    assert said["y.activation"] == {"": {"activity": {"l2": 0.5}}}
    at_rest = {path.split(".")[0] for path in frozen(graph)}
    assert at_rest == {"two", "stack", "every", "norm"}
    assert "norm.mean" in frozen(graph)
    assert not any(path.startswith(("two.backward", "stack.cells.1")) for path in frozen(graph))
    added = penalties(graph)
    assert added["table.weight"] == Penalty(l1=0.5)
    assert {added[f"gru.bias_{side}.{gate}"] for side in ("ih", "hh") for gate in "zrh"} == {BIAS}
    assert {added[f"gru.weight_hh.{gate}"] for gate in "zrh"} == {RECURRENT}
    assert {added[f"heads.{part}_weight"] for part in ("query", "key", "value", "output")} == {KERNEL}
    assert "two.forward.weight_ih.i" not in added
    assert "every.layer.weight" not in added
    again: Any = keras_side.write(graph)
    assert all_learning(keras_side.read(again)) == said
    assert len(again.trainable_variables) == len(live.trainable_variables)
    assert loss(again) == pytest.approx(loss(live), rel=1e-5)
    # And the same sum in the graph, where the last layer's outputs count no more.
    weights = {f"{node}.{path}": w for node, own in graph.weights().items() for path, w in own.items()}
    total = sum(
        penalty.l1 * np.abs(weights[path]).sum() + penalty.l2 * np.square(weights[path]).sum()
        for path, penalty in added.items()
    )
    again.get_layer("y.activation").activity_regularizer = None
    assert total == pytest.approx(loss(again), rel=1e-5)
    stored: Any = keras.saving.load_model(keras_side.save(graph, tmp_path / "again.keras"))
    assert len(stored.trainable_variables) == len(live.trainable_variables)
    assert loss(stored) == pytest.approx(loss(live), rel=1e-5)


def test_what_does_not_travel_is_named() -> None:
    x = keras.Input((T, I))
    gru = layers.GRU(H, kernel_constraint=keras.constraints.MaxNorm(3), name="gru")
    graph = keras_side.read(keras.Model(x, gru(x)))
    assert unported(graph) == ["gru: kernel_constraint: MaxNorm(max_value=3, axis=0)"]
    with pytest.warns(UserWarning, match="cannot be told of training: gru: kernel_constraint: MaxNorm"):
        keras_side.write(graph)


@keras.saving.register_keras_serializable("mine")
class L2(keras.regularizers.Regularizer):
    """Of the same name as one of Keras' own."""

    def __call__(self, x: Any) -> Any:
        total: Any = keras.ops.sum(x)
        return 3 * total

    def get_config(self) -> dict[str, Any]:
        return {}


@pytest.mark.parametrize(
    ("regularizer", "named"),
    [
        (L2(), "kernel_regularizer: L2()"),
        (regularizers.OrthogonalRegularizer(0.5), "kernel_regularizer: OrthogonalRegularizer(factor=0.5"),
    ],
)
def test_other_regularizers_are_named(regularizer: Any, named: str) -> None:
    x = keras.Input((I,))
    graph = keras_side.read(keras.Model(x, layers.Dense(2, kernel_regularizer=regularizer, name="y")(x)))
    assert penalties(graph) == {}
    assert [line.startswith(f"y: {named}") for line in unported(graph)] == [True]


def graph_of(op: ops.Op) -> Graph:
    return Graph((Value("x", ("N", T, I), "float32"),), (Node("y", op, ("x",)),), ("y",))


@pytest.mark.parametrize(
    ("learning", "untold"),
    [
        (Learning(frozen=frozenset({"weight_hh"})), "weight_hh frozen, but not all weights"),
        (Learning(penalties={"bias_hh": BIAS}), "a penalty for bias_hh"),
    ],
)
def test_what_keras_cannot_be_told(learning: Learning, untold: str) -> None:
    graph = graph_of(cell(np.random.default_rng(0), ops.GRU, I, H, learning=learning))
    assert [re.sub("^y: ", "", line).startswith(untold) for line in keras_side.unwritten(graph)] == [True]
    with pytest.warns(UserWarning, match=untold):
        keras_side.write(graph)


def test_frozen_heads_are_frozen_while_they_live() -> None:
    x = keras.Input((T, I))
    heads = layers.MultiHeadAttention(1, 2, name="y")
    live: Any = keras.Model(x, heads(x, x))
    heads.trainable = False
    with pytest.warns(UserWarning, match="forgets when it loads a MultiHeadAttention"):
        again: Any = keras_side.write(keras_side.read(live))
    assert len(live.trainable_variables) == len(again.trainable_variables) == 0


def test_converted_layers_keep_it() -> None:
    both = bidirectional(np.random.default_rng(0), I, H).with_learning(
        {"backward": Learning(frozenset({"weight_ih", "weight_hh", "bias_ih"}))}
    )
    again: Any = keras_side.write(graph_of(both))
    assert len(again.trainable_variables) == 3


def test_the_words_of_keras_1() -> None:
    config = {
        "output_dim": 4,
        "W_regularizer": {"name": "WeightRegularizer", "l1": 0.0, "l2": 0.5},
        "U_regularizer": {"name": "L1L2Regularizer", "l1": 0.25, "l2": 0.0},
        "b_constraint": {"name": "MaxNorm", "m": 2},
        "b_regularizer": None,
    }
    _, settings = layer_settings("LSTM", config, Release("1.2.2"))
    kept = {key: value for key, value in settings.items() if key.endswith(("regularizer", "constraint"))}
    assert kept == {
        "kernel_regularizer": config["W_regularizer"],
        "recurrent_regularizer": config["U_regularizer"],
        "bias_constraint": config["b_constraint"],
        "bias_regularizer": None,
    }
    _, settings = layer_settings("Embedding", {"W_regularizer": 1}, Release("1.2.2"))
    assert settings["embeddings_regularizer"] == 1


tf_keras: Any = importlib.import_module("tf_keras")


def wrapped(trainable: bool) -> Any:
    """A Bidirectional that is not trained around layers that say they are."""
    own = tf_keras.layers
    return own.Bidirectional(own.LSTM(H, kernel_regularizer="l2"), trainable=trainable)


def nested(trainable: bool) -> Any:
    inner = tf_keras.Sequential([tf_keras.layers.LSTM(H, kernel_regularizer="l2")])
    inner.trainable = trainable
    return inner


@pytest.mark.parametrize(
    ("make", "trainable"),
    [
        (wrapped, False),
        *(pytest.param(*c, marks=pytest.mark.sweep) for c in ((wrapped, True), (nested, False))),
    ],
)
def test_up_to_keras_2_what_is_around_counts(
    make: Callable[[bool], Any], trainable: bool, tmp_path: Path
) -> None:
    old = tf_keras.Sequential([tf_keras.Input((T, I)), make(trainable), tf_keras.layers.Dense(1)])
    old.save(tmp_path / "m.h5")
    graph = keras_side.read(tmp_path / "m.h5")
    variables = {path.rpartition(".")[0] for path in frozen(graph)}
    assert len(variables) == len(old.weights) - len(old.trainable_weights)
    assert bool(penalties(graph)) == trainable
