"""A ported model and Keras, trained side by side in float64: the same losses and weights, step by step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import safetensors.torch
import tensorflow as tf
import torch

import keras_side
import torch_side
from biport.graph import Graph, frozen, penalties, weights_by_path

layers: Any = keras.layers
regularizers: Any = keras.regularizers
DTYPE = "float64"
IDS = np.array([[3, 7, 0, 0, 0], [0, 0, 0, 0, 0], [1, 0, 2, 9, 4], [0, 0, 5, 5, 8]], "int32")
TARGETS = np.array([[0.0], [1.0], [1.0], [0.0]])
ALLOWED = 1e-10
BETA, EPSILON = 0.96875, 2.0**-23


def model(regularized: bool = False) -> Any:
    """Numbers that float32 has exactly, since Keras passes its constants through it."""
    l1, l2 = (regularizers.L1(2**-8), regularizers.L2(2**-7)) if regularized else (None, None)
    settings = {"dtype": DTYPE}
    ids = keras.Input((None,), dtype="int32", name="ids")
    x = layers.Embedding(11, 4, mask_zero=True, embeddings_regularizer=l2, **settings)(ids)
    cell = layers.LSTM(
        3,
        return_sequences=True,
        kernel_regularizer=l1,
        recurrent_regularizer=l2,
        bias_regularizer=l2,
        **settings,
    )
    x = layers.Bidirectional(cell, **settings)(x)
    x = layers.BatchNormalization(name="norm", trainable=not regularized, **settings)(x) if regularized else x
    x = layers.GRU(3, reset_after=True, return_sequences=True, bias_regularizer=l1, **settings)(x)
    x = layers.GRU(4, reset_after=False, kernel_regularizer=l2, **settings)(x)
    y = layers.Dense(1, activation="sigmoid", kernel_regularizer=l1, **settings)(x)
    result = keras.Model(ids, y)
    rng = np.random.default_rng(0)
    for variable in result.weights:
        values = 0.5 * rng.normal(size=variable.shape)
        variable.assign(0.25 + np.abs(values) if "variance" in variable.path else values)
    return result


def optimizers(name: str, parameters: list[torch.nn.Parameter]) -> tuple[Any, torch.optim.Optimizer]:
    if name == "sgd":
        return keras.optimizers.SGD(0.125), torch.optim.SGD(parameters, lr=0.125)
    own = keras.optimizers.Adam(2**-7, beta_1=0.875, beta_2=BETA, epsilon=EPSILON)
    return own, torch.optim.Adam(parameters, lr=2**-7, betas=(0.875, BETA))


def trained(source: Any, module: Any, name: str, steps: int) -> float:
    """Both trained; how far their losses were apart at the most."""
    module.train()
    parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
    theirs, ours = optimizers(name, parameters)
    theirs.build(source.trainable_variables)

    @tf.function
    def step() -> Any:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((source(IDS, training=True) - TARGETS) ** 2)
            loss = tf.add_n([loss, *source.losses])
        gradients = tape.gradient(loss, source.trainable_variables)
        theirs.apply([tf.convert_to_tensor(one) for one in gradients], source.trainable_variables)
        return loss

    apart = 0.0
    for number in range(1, steps + 1):
        # Keras' epsilon stands beside the root of the uncorrected moment, see docs/training.md.
        ours.param_groups[0]["eps"] = EPSILON / (1 - BETA**number) ** 0.5
        ours.zero_grad()
        loss = (module(torch.tensor(IDS)) - torch.tensor(TARGETS)).square().mean()
        # A model without regularisers has nothing to add, and a folder's no method that does.
        loss = loss + module.penalty() if hasattr(module, "penalty") else loss
        loss.backward()
        ours.step()
        apart = max(apart, abs(float(step()) - loss.item()))
    return apart


def difference(one: Graph, two: Graph) -> float:
    mine, yours = weights_by_path(one), weights_by_path(two)
    return max(float(np.abs(mine[path] - yours[path]).max()) for path in mine)


def check(name: str, regularized: bool, steps: int) -> None:
    source = model(regularized)
    module = torch_side.write(keras_side.read(source))
    assert trained(source, module, name, steps) <= ALLOWED
    after, back = keras_side.read(source), torch_side.read(module)
    assert difference(after, back) <= ALLOWED
    assert frozen(after) == frozen(back)
    assert penalties(after) == penalties(back)


def test_some_steps_are_those_of_keras():
    check("sgd", regularized=True, steps=4)


@pytest.mark.sweep
@pytest.mark.parametrize("regularized", [False, True])
@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_a_hundred_steps_are_those_of_keras(name, regularized):
    check(name, regularized, steps=100)


@pytest.mark.sweep
@pytest.mark.parametrize("regularized", [False, True])
def test_so_are_those_of_a_folder(tmp_path, regularized):
    source = model(regularized)
    folder = torch_side.write_folder(keras_side.read(source), Path(tmp_path) / "ported")
    module = torch_side.load_folder(folder)
    assert trained(source, module, "sgd", 100) <= ALLOWED
    state = {name: tensor.contiguous() for name, tensor in module.state_dict().items()}
    safetensors.torch.save_file(state, folder / "model.safetensors")
    after, back = keras_side.read(source), torch_side.read_folder(folder)
    assert difference(after, back) <= ALLOWED
    assert frozen(after) == frozen(back)
    assert penalties(after) == penalties(back)


@pytest.mark.sweep
def test_with_two_biases_training_takes_another_way():
    source = model()
    module = torch_side.write(keras_side.read(source), biases="two")
    assert trained(source, module, "sgd", 100) > 1e-4
