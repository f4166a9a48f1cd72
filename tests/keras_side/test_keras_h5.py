"""What an HDF5 file of Keras 3 says in other words than an archive, or not at all."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

import keras_side
from biport import ops
from biport.errors import UnsupportedError
from biport.graph import Graph, Node, Value
from testing.keras_models import check_model, embedding, randomize, token_ids, tokens


def test_attention_and_its_weights(tmp_path: Path) -> None:
    """Kernels of many heads, scales and score weights; in a model inside, in a layer that does not learn."""
    ids = tokens()
    x = embedding(size=4)(ids)
    inside = keras.Input((None, 4))
    inner = keras.Model(inside, layers.MultiHeadAttention(2, 3, value_dim=2)(inside, inside))
    y = inner(layers.LSTM(4, return_sequences=True)(x))
    y = layers.AdditiveAttention()([y, x])
    y = layers.Attention(use_scale=True, score_mode="concat", trainable=False)([y, x])
    y = layers.MultiHeadAttention(1, 2, use_bias=False)(inner(y), x)
    check_model(randomize(keras.Model(ids, layers.Dense(2)(y))), [token_ids()], tmp_path)


def test_activations_and_reshape_as_operations(tmp_path: Path) -> None:
    """They have the names of layers, and other settings."""
    x = keras.Input((12,))
    y = layers.Dense(12)(x)
    y = keras.activations.relu(y, negative_slope=0.1, max_value=2.0)
    y = keras.activations.elu(layers.Dense(12)(y), alpha=0.7)
    y = keras.ops.leaky_relu(keras.ops.reshape(y, (-1, 6, 2)), 0.3)
    y = layers.Reshape((6, 2))(keras.ops.softmax(y, axis=1))
    y = layers.GRU(3)(keras.activations.gelu(y))
    model = randomize(keras.Model(x, layers.Dense(2)(keras.activations.hard_sigmoid(y))))
    graph = check_model(model, [np.random.default_rng(0).normal(size=(4, 12)).astype("float32")], tmp_path)
    kinds = [node.op.kind for node in graph.nodes]
    assert kinds[1:6] == ["ReLU", "Dense", "ELU", "ReshapeTo", "LeakyReLU"]
    assert [node.op.axis for node in graph.nodes if isinstance(node.op, ops.Softmax)] == [1]


def test_a_layer_of_this_package(tmp_path: Path) -> None:
    average = ops.LearnedAverage(weight=np.array([0.3, -0.2, 0.9], "float32"))
    inputs = tuple(Value(name, ("N", "T", 3), "float32") for name in "xy")
    model = keras_side.write(Graph(inputs, (Node("a", average, ("x", "y")),), ("a",)))
    model.save(tmp_path / "model.h5")
    assert keras_side.read(tmp_path / "model.h5") == keras_side.read(model)


class Subclassed(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.head = layers.Dense(2)

    def call(self, inputs: object) -> object:
        """The head alone."""
        return self.head(inputs)


@pytest.mark.parametrize("suffix", [".h5", ".keras"])
def test_a_subclassed_model_is_told_and_what_to_do(suffix: str, tmp_path: Path) -> None:
    model = Subclassed()
    model(np.zeros((1, 3), "float32"))
    path = tmp_path / f"model{suffix}"
    model.save(path)
    with pytest.raises(
        UnsupportedError, match=r"class='Subclassed'.*functional model of the same layers"
    ) as told:
        keras_side.read(path)
    assert "--code layers.py" in str(told.value)
    assert [node.op.kind for node in keras_side.read(model).nodes] == ["Dense"]
