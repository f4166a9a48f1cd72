"""Every activation is Keras' own, on every side."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnxruntime
import pytest
import torch
from keras import layers

import export
import keras_side
import torch_side
from biport import ops, reference, verify
from biport.compare.tolerance import L1_ALLOWED
from biport.graph import Graph, Node, Value
from biport.reference import REFERENCES
from biport.reference.functions import ACTIVATIONS
from keras_side.load_file import load_file
from keras_side.require import register
from keras_side.shared.activations import INEXACT, LAYERS, write_activation
from testing.models import check_same, every_mask, randomize
from torch_side.layers.activation import apply

KINKS = [-6, -3, -2.5, -1, -0.5, -0.0, 0, 0.5, 1, 2.5, 3, 6]
FAR = [-700, -100, -89, -50, -40, -20, 20, 40, 50, 89, 100, 700]
POINTS = np.array([*np.linspace(-8, 8, 801), *KINKS, *np.nextafter(KINKS, 9), *np.nextafter(KINKS, -9), *FAR])


@pytest.mark.parametrize("name", ops.ACTIVATIONS)
def test_keras_the_reference_and_torch_agree_at_kinks_and_far_out(name):
    x = POINTS if name != "exponential" else POINTS[POINTS < 40]
    wanted = ACTIVATIONS[name](x)
    function = keras.activations.get(write_activation(name))
    live = np.array(function(keras.ops.convert_to_tensor(x[None], dtype="float64")))[0]
    mine = apply(name, torch.tensor(x)).numpy()

    np.testing.assert_allclose(mine, wanted, rtol=1e-14, atol=1e-14)
    limit = 2e-8 if name in INEXACT else 1e-14
    np.testing.assert_allclose(live, wanted, rtol=limit, atol=limit)
    assert (np.abs(live - wanted).max() > 1e-10) == (name in INEXACT)


ELEMENTWISE = [name for name in ops.ACTIVATIONS if "softmax" not in name]
RECTIFIED = [
    ops.ReLU(max_value=most, negative_slope=slope, threshold=threshold)
    for most in (None, 6.0, 2.0)
    for slope in (0.0, 0.1)
    for threshold in (0.0, 0.5)
]


@pytest.mark.parametrize(
    "op",
    [
        *(ops.Activation(function=name) for name in ELEMENTWISE),
        *RECTIFIED,
        ops.LeakyReLU(negative_slope=0.3),
        ops.ELU(alpha=0.7),
    ],
    ids=repr,
)
def test_of_nan_every_form_gives_what_keras_gives(op, tmp_path):
    """Of a mean over no steps; ``soft_shrink``, ``hard_shrink`` and what has a threshold make 0 of it."""
    x = np.linspace(-2, 3, 42, dtype="float32").reshape(3, 14)
    x[0], x[1, 3] = np.nan, np.nan
    graph = Graph((Value("x", ("N", 14), "float32"),), (Node("y", op, ("x",)),), ("y",))
    wanted = np.asarray(keras_side.write(graph)(x))
    (exact,) = REFERENCES.lookup(type(op), "y")(op.astype("float64"), [x.astype("float64")], [None])
    np.testing.assert_allclose(exact, wanted, atol=1e-6)
    given = torch_side.write(graph)(torch.tensor(x)).detach().numpy()
    np.testing.assert_allclose(given, wanted, atol=1e-6)
    export.write(graph, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(np.asarray(session.run(None, {"x": x})[0]), wanted, atol=1e-6)


@pytest.fixture(autouse=True)
def _registered():
    register()


def classifier(name) -> keras.Model:
    """Dense layers over steps and over a row, weights and biases random."""
    activation = write_activation(name)
    model = keras.Sequential(
        [
            keras.Input((None,), dtype="int32"),
            layers.Embedding(13, 5, mask_zero=True, name="table"),
            layers.Dense(4, activation=activation, name="steps"),
            layers.LSTM(3, name="lstm"),
            layers.Dense(2, activation=activation, name="row"),
        ]
    )
    rng = np.random.default_rng(2)
    model.set_weights([rng.normal(size=a.shape).astype("float32") for a in model.get_weights()])
    return model


def everywhere(model: keras.Model, folder: Path) -> Graph:
    model.save(folder / "model.keras")
    graph = keras_side.read(model)
    module = torch_side.write(graph)
    export.write(graph, folder / "model.onnx")
    assert keras_side.read(folder / "model.keras") == graph == torch_side.read(module)
    check_same(graph, [model, keras_side.write(graph)], [module, folder / "model.onnx"])
    return graph


def test_every_activation_is_the_same_everywhere(tmp_path):
    """In one model: over steps, side by side, and over the row that an LSTM makes of them all."""
    ids = keras.Input((None,), dtype="int32")
    table = layers.Embedding(13, 5, mask_zero=True)(ids)
    made = {name: write_activation(name) for name in ops.ACTIVATIONS}
    # One that grows without bound would saturate the LSTM.
    steps = [layers.Dense(2, activation=one)(table) for name, one in made.items() if name != "exponential"]
    row = layers.LSTM(3)(layers.Concatenate()(steps))
    model = keras.Model(ids, [layers.Dense(2, activation=one, name=name)(row) for name, one in made.items()])
    graph = everywhere(randomize(model), tmp_path)
    assert all(graph[name].op.settings()["activation"] == name for name in ops.ACTIVATIONS)


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=() if name == "gelu" else pytest.mark.sweep) for name in ops.ACTIVATIONS],
)
def test_an_activation_is_as_exact_everywhere_as_is_said(name, tmp_path):
    graph = everywhere(classifier(name), tmp_path)
    assert graph["row"].op.settings()["activation"] == name
    assert (keras_side.float64_allowed(graph) == L1_ALLOWED) == (name not in INEXACT)


OF_EVERY_DAY = ("gelu", "hard_sigmoid_keras2", "softmax")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in OF_EVERY_DAY else pytest.mark.sweep)
        for name in ops.ACTIVATIONS
        if name != "tanh"
    ],
)
def test_another_activation_is_found(name):
    model = classifier(name)
    graph = keras_side.read(model)
    wrong = keras_side.read(classifier("hard_sigmoid" if name == "hard_sigmoid_keras2" else "tanh"))
    wrong = type(graph)(graph.inputs, (*graph.nodes[:-1], wrong.nodes[-1]), graph.outputs)

    assert verify(model, wrong, inputs=every_mask(graph)).at_fault == ["graph"]


def test_other_ways_to_say_an_activation():
    said = [None, "swish", "hard_swish", keras.activations.elu, keras.ops.relu6, layers.Activation("silu")]
    said += [getattr(layers, kind)(**settings) for kind, known in LAYERS.items() for settings, _ in known]
    wanted = ["linear", "silu", "hard_silu", "elu", "relu6", "silu"]
    wanted += [name for known in LAYERS.values() for _, name in known]

    for activation, name in zip(said, wanted, strict=True):
        model = keras.Sequential([keras.Input((3,)), layers.Dense(2, activation=activation, name="it")])
        graph = keras_side.read(model)
        assert graph["it"].op.settings()["activation"] == name
        assert verify(model, graph).ok


def test_keras_2s_hard_sigmoid_is_written_loaded_and_read_again(tmp_path):
    name = "biport>hard_sigmoid_keras2"
    said: Any = write_activation("hard_sigmoid_keras2")
    x = keras.Input((5, 3), name="x")
    y = layers.Bidirectional(layers.LSTM(3, return_sequences=True, recurrent_activation=said))(x)
    y = layers.TimeDistributed(layers.Dense(4, said))(layers.Activation(said)(y))
    model = keras.Model(x, layers.RNN(layers.GRUCell(2, said, said))(layers.Conv1D(3, 2, activation=said)(y)))
    graph = keras_side.read(model)
    assert "Scan" not in export.write(graph, tmp_path / "model.onnx", lowering="fused").nodes
    file = tmp_path / "model.keras"
    model.save(file)
    # As in a process that has only just imported Keras.
    keras.saving.get_custom_objects().pop(name)
    with pytest.raises((TypeError, ValueError), match=name):
        keras.saving.load_model(file, compile=False)
    again = load_file(file)
    keras.saving.get_custom_objects().pop(name)
    written = keras_side.write(graph)
    assert name in keras.saving.get_custom_objects()

    stock = keras_side.save(graph, tmp_path / "stock.keras")
    assert keras_side.read(file) == keras_side.read(again) == keras_side.read(written) == graph
    assert keras_side.read(stock) == graph
    check_same(graph, [model, file, again, written], [torch_side.write(graph), tmp_path / "model.onnx"])


def relu(x):
    """A function Keras writes down by its name, as if it were its own."""
    return x * x


@pytest.mark.parametrize("function", [relu, keras.ops.gelu])
def test_a_function_that_only_has_the_name_is_read_as_what_it_is(function, tmp_path: Path):
    model = keras.Sequential([keras.Input((3,)), layers.Dense(2, activation=function, name="it")])
    x = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")
    np.testing.assert_allclose(model(x), reference.run(keras_side.read(model), [x])[0], atol=1e-6)


@pytest.mark.parametrize("settings", [{"max_value": 0.7}, {"negative_slope": 0.3}, {"threshold": 0.3}])
def test_settings_that_tensorflow_rounds_are_allowed_for(settings) -> None:
    x = keras.Input((4, 3), name="x")
    model = keras.Model(x, layers.ReLU(**settings)(x))
    assert keras_side.float64_allowed(keras_side.read(model)) > L1_ALLOWED
    assert verify(model, keras_side.write(keras_side.read(model)), float64=True).ok
    exact = keras.Model(x, layers.ReLU(0.5, 0.25, 0.125)(x))
    assert keras_side.float64_allowed(keras_side.read(exact)) == L1_ALLOWED
    assert verify(exact, keras_side.write(keras_side.read(exact)), float64=True).ok
