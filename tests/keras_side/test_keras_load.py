"""Weights into models that exist already, and running them on good and bad input."""

from __future__ import annotations

import dataclasses
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

import keras_side
from biport import ops, reference
from biport.errors import InputError, SettingsError, WeightError
from biport.graph import Graph
from keras_side.models.sentiment import sentiment
from testing.keras_models import (
    E,
    H,
    O,
    T,
    V,
    assert_close,
    embedding,
    features,
    live_outputs,
    randomize,
    token_ids,
    tokens,
)


def source(seed: int = 1, **options) -> keras.Model:
    return randomize(sentiment(V, E, units=(H, 2), **options), seed)


def snapshot(model: keras.Model) -> list[np.ndarray]:
    return [array.copy() for array in model.get_weights()]


def same(one: list[np.ndarray], two: list[np.ndarray]) -> bool:
    return len(one) == len(two) and all(a.tobytes() == b.tobytes() for a, b in zip(one, two, strict=True))


def test_a_model_is_filled_bit_for_bit() -> None:
    filled, graph = source(seed=2), keras_side.read(source())
    assert keras_side.read(filled) != graph
    report = keras_side.load(filled, graph)
    assert keras_side.read(filled) == graph
    assert same(snapshot(filled), snapshot(source()))
    assert set(report.filled) == {"embedding", "bilstm_1", "bilstm_2", "classifier"}
    assert report.summed == ()
    assert_close(live_outputs(filled, [token_ids()]), reference.run(graph, [token_ids()]), "float32")


def test_two_biases_are_reported() -> None:
    graph = keras_side.read(source())
    nodes = []
    for node in graph.nodes:
        if isinstance(node.op, ops.Bidirectional) and node.name == "bilstm_2":
            direction: Any = node.op.backward
            direction = dataclasses.replace(direction, bias_hh=direction.bias_ih)
            node = dataclasses.replace(node, op=dataclasses.replace(node.op, backward=direction))
        nodes.append(node)
    filled = source(seed=2)
    report = keras_side.load(filled, Graph(graph.inputs, tuple(nodes), graph.outputs))
    assert report.summed == ("bilstm_2",)
    old, new = source().get_layer("bilstm_2").get_weights(), filled.get_layer("bilstm_2").get_weights()
    np.testing.assert_array_equal(new[5], old[5] + old[5])
    np.testing.assert_array_equal(new[2], old[2])


def test_everything_that_does_not_fit_is_named_and_nothing_changed() -> None:
    ids = tokens()
    x = layers.Bidirectional(layers.LSTM(H, return_sequences=True), name="bilstm_1")(embedding()(ids))
    x = layers.Bidirectional(layers.LSTM(O), name="second")(x)
    other = randomize(keras.Model(ids, layers.Dense(3, name="classifier")(x), name="other"))
    before = snapshot(other)
    with pytest.raises(WeightError) as caught:
        keras_side.load(other, keras_side.read(source()))
    text = str(caught.value)
    for words in (
        "model 'other'",
        "the model has no layer 'bilstm_2'",
        "the graph has no weights for layer 'second'",
        "layer 'classifier' has the shapes",
    ):
        assert words in text
    assert "bilstm_1" not in text
    assert "embedding" not in text
    assert same(snapshot(other), before)


def test_biases_are_missing_on_one_side() -> None:
    x = keras.Input((None, E))
    with_bias = keras.Model(x, layers.LSTM(H, name="it")(x))
    without = keras.Model(x, layers.LSTM(H, use_bias=False, name="it")(x))
    for target, graph in ((with_bias, without), (without, with_bias)):
        before = snapshot(target)
        with pytest.raises(WeightError, match="'it'"):
            keras_side.load(target, keras_side.read(graph))
        assert same(snapshot(target), before)


@pytest.fixture(scope="module")
def several() -> tuple[keras.Model, Graph]:
    ids, wide = tokens(), keras.Input((None, 2), name="wide")
    x = layers.LSTM(H)(embedding()(ids))
    y = layers.LSTM(O, return_sequences=True)(wide)
    model = randomize(keras.Model([ids, wide], [layers.Concatenate()([x, layers.LSTM(2)(y)]), y]))
    return model, keras_side.read(model)


def test_run_gives_what_keras_gives(several: tuple[keras.Model, Graph]) -> None:
    model, graph = several
    inputs = [token_ids(), features(6, 9, 2)]
    for given in (graph, None):
        for one, two in zip(keras_side.run(model, inputs, given), live_outputs(model, inputs), strict=True):
            np.testing.assert_array_equal(one, two)
    wide = [inputs[0].astype("int64"), inputs[1].astype("float64")]
    assert_close(keras_side.run(model, wide, graph), live_outputs(model, inputs), "float32")


def test_an_empty_batch(several: tuple[keras.Model, Graph]) -> None:
    model, graph = several
    outputs = keras_side.run(model, [np.zeros((0, T), "int32"), np.zeros((0, 9, 2), "float32")], graph)
    assert [array.shape for array in outputs] == [(0, H + 2), (0, 9, O)]
    assert {array.dtype.name for array in outputs} == {"float32"}


IDS, WIDE = token_ids(), features(6, 9, 2)


@pytest.mark.parametrize(
    "inputs, words",
    [
        ([IDS[:, :0], WIDE], "empty but for the batch"),
        ([IDS, WIDE[:, :0]], "empty but for the batch"),
        ([IDS[:0, :0], WIDE[:0]], "empty but for the batch"),
        ([np.where(IDS == 0, V, IDS), WIDE], rf"'tokens'.*\[0, {V}\).*{V}"),
        ([np.where(IDS == 0, -1, IDS), WIDE], r"'tokens'.*-1"),
        ([IDS.astype("float32"), WIDE], "'tokens'.*integer"),
        ([IDS > 0, WIDE], "'tokens'.*integer"),
        ([IDS[0], WIDE], "'tokens'.*shape"),
        ([IDS[..., None], WIDE], "'tokens'.*shape"),
        ([IDS, WIDE[..., :1]], "'wide'.*shape"),
        ([IDS, WIDE[0]], "'wide'.*shape"),
        ([IDS, WIDE * np.nan], "'wide'.*NaN"),
        ([IDS, WIDE.astype(str)], "'wide'.*numbers"),
        ([IDS], "2 inputs.*tokens, wide.*found 1"),
        ([IDS, WIDE, WIDE], "found 3"),
        ([], "found 0"),
        ([IDS, WIDE[:5]], "batch sizes"),
    ],
)
def test_bad_inputs(inputs: list[np.ndarray], words: str, several: tuple[keras.Model, Graph]) -> None:
    model, graph = several
    with pytest.raises(InputError, match=words):
        keras_side.run(model, inputs, graph)


def test_ids_that_keras_takes_as_floats_must_be_integers() -> None:
    """An InputLayer is float32 by default, and Keras cuts floats to ids without a word."""
    model = keras.Sequential([embedding(), layers.LSTM(H)])
    model.build((None, T))
    with pytest.raises(InputError, match="integer"):
        keras_side.run(randomize(model), [np.full((2, T), 1.5)])


def test_models_with_one_input_in_a_list() -> None:
    ids = tokens()
    model = randomize(keras.Model([ids], [layers.LSTM(H)(embedding()(ids))]))
    (output,) = keras_side.run(model, [IDS])
    assert_close([output], reference.run(keras_side.read(model), [IDS]), "float32")


def test_sequential_models_run() -> None:
    model = randomize(keras.Sequential([tokens(), embedding(), layers.LSTM(H)]))
    (output,) = keras_side.run(model, [IDS])
    assert_close([output], reference.run(keras_side.read(model), [IDS]), "float32")


def test_models_inside_are_filled_by_path() -> None:
    def nested(seed: int) -> keras.Model:
        inside = [keras.Input((None, E)), layers.LSTM(H, return_sequences=True, name="scan"), layers.Dense(O)]
        ids = tokens()
        inner = keras.Sequential(inside, name="inner")
        return randomize(keras.Model(ids, layers.Dense(2, name="head")(inner(embedding()(ids)))), seed)

    one, two = nested(1), nested(2)
    # Names Keras numbers by itself are not the same twice.
    for mine, yours in zip(one.layers, two.layers, strict=True):
        yours.name = mine.name
    two.get_layer("inner").layers[1].name = one.get_layer("inner").layers[1].name
    graph = keras_side.read(one)
    assert "inner.scan" in keras_side.load(two, graph).filled
    for mine, yours in zip(one.get_weights(), two.get_weights(), strict=True):
        assert mine.tobytes() == yours.tobytes()


def scanning(
    *,
    kind: Any = layers.LSTM,
    head: str = "tanh",
    then: keras.Layer | None = None,
    epsilon: float = 1e-3,
    rate: float = 0.1,
    mask_zero: bool = True,
    merge: str = "sum",
    **settings: Any,
) -> keras.Model:
    """A model with a model inside; the settings are those of the layer in its middle."""
    inside: Any = keras.Sequential(
        [keras.Input((None, E)), layers.LayerNormalization(epsilon=epsilon, name="norm")], name="inner"
    )
    ids = tokens()
    x = layers.Embedding(V, E, mask_zero=mask_zero, name="table")(ids)
    x = layers.Bidirectional(layers.GRU(E, return_sequences=True, name="gru"), merge_mode=merge, name="both")(
        x
    )
    x = layers.TimeDistributed(layers.Dense(E, head, name="inner_dense"), name="each")(inside(x))
    x = kind(H, return_sequences=True, name="scan", dropout=rate, **settings)(layers.Dropout(rate)(x))
    x = layers.Dense(O, None if then else head, name="head")(x)
    return randomize(keras.Model(ids, x if then is None else then(x), name="scanning"))


def differing(target: keras.Model) -> set[tuple[str, str, Any, Any]]:
    graph, before = keras_side.read(scanning()), snapshot(target)
    with pytest.raises(SettingsError, match=r"model 'scanning'.*settings='ignore'") as caught:
        keras_side.load(target, graph)
    assert same(snapshot(target), before)
    keras_side.load(target, graph, settings="ignore")
    assert same(snapshot(target), snapshot(scanning()))
    return {dataclasses.astuple(difference) for difference in caught.value.differences}  # type: ignore[misc]


def opaque(x: Any) -> Any:
    return keras.ops.map(lambda row: row, x)


SCAN = {"recurrent_activation": "hard_sigmoid", "activation": "relu", "go_backwards": True}


@pytest.mark.parametrize("then", [None, layers.Lambda(opaque)], ids=["read", "not read"])
def test_settings_that_differ_are_named_all_of_them(then: keras.Layer | None) -> None:
    target = scanning(then=then, epsilon=1e-5, mask_zero=False, merge="ave", **SCAN)
    wanted = {
        ("inner.norm", "epsilon", 1e-5, 1e-3),
        ("table", "mask_zero", False, True),
        ("both", "merge", "ave", "sum"),
        ("scan", "recurrent_activation", "hard_sigmoid", "sigmoid"),
        ("scan", "activation", "relu", "tanh"),
        ("scan", "reverse", True, False),
    }
    assert differing(target) == wanted


class Slower(layers.LSTM):
    """Whatever a subclass computes."""

    def call(
        self, sequences: Any, initial_state: Any = None, mask: Any = None, training: bool = False
    ) -> Any:
        return opaque(super().call(sequences, initial_state, mask, training))


def test_settings_of_inner_layers_and_of_what_is_not_read_are_named() -> None:
    assert differing(scanning(head="relu", then=layers.Activation("softsign"))) == {
        ("each", "layer.activation", "relu", "tanh"),
        ("head", "activation", "softsign", "tanh"),
    }
    graph = keras_side.read(scanning())
    for target, words in (
        (scanning(kind=Slower), "'scan': class is 'Slower'"),
        (scanning(dtype="mixed_float16"), "'scan': dtype is 'mixed_float16'"),
    ):
        with pytest.raises(SettingsError, match=words):
            keras_side.load(target, graph)


def test_what_changes_nothing_at_inference_may_differ() -> None:
    target = scanning(rate=0.5, unroll=False, then=layers.Activation("tanh"), recurrent_dropout=0.3)
    target.get_layer("both").trainable = False
    target.set_weights([array * np.nan for array in target.get_weights()])
    keras_side.load(target, keras_side.read(scanning()))
    assert same(snapshot(target), snapshot(scanning()))
    with pytest.raises(InputError, match="'check' or 'ignore'"):
        keras_side.load(target, keras_side.read(scanning()), settings="no")  # type: ignore[arg-type]


def test_layers_that_are_called_twice_are_filled_once() -> None:
    x = keras.Input((3,), name="x")
    layer, inner = layers.Dense(3, name="twice"), keras.Input((3,))
    inside = keras.Model(inner, layers.Dense(3, name="dense")(inner), name="inside")
    model = randomize(keras.Model(x, inside(layer(inside(layer(x))))))
    graph = keras_side.read(model)
    randomize(model, 1)
    assert keras_side.load(model, graph).filled == ("twice", "inside.dense")
    assert keras_side.read(model) == graph
