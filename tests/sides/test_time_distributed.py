"""A layer or a model applied to every step: what may be inside, and what becomes of the masks."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import torch
from torch import nn

import export
import keras_side
import torch_side
from biport import ops, reference, verify
from biport.compare.tolerance import Verdict
from biport.errors import UnsupportedError
from biport.graph import Graph, Value
from biport.rewrite.bidirectional import bidirect
from testing.keras_models import floats
from testing.masks import MASKS, VOCABULARY, padded_ids
from testing.models import check_everywhere, check_same, quiet_model, randomize

layers: Any = keras.layers  # Keras annotates fewer types than it takes.

INSIDE = {
    "Dense": lambda: layers.Dense(4, activation="softmax"),
    "BatchNormalization": lambda: layers.BatchNormalization(scale=False),
    "LayerNormalization": lambda: layers.LayerNormalization(),
    "Conv1D": lambda: layers.Conv1D(4, 2, padding="same", activation="relu"),
    "MaxPooling1D": lambda: layers.MaxPooling1D(2),
    "AveragePooling1D": lambda: layers.AveragePooling1D(3, 2, "same"),
    "GlobalMaxPooling1D": lambda: layers.GlobalMaxPooling1D(),
    "GlobalAveragePooling1D": lambda: layers.GlobalAveragePooling1D(keepdims=True),
    "LSTM": lambda: layers.LSTM(3, return_sequences=True),
    "last LSTM": lambda: layers.LSTM(3, go_backwards=True),
    "Bidirectional": lambda: layers.Bidirectional(layers.LSTM(2)),
    "Dropout": lambda: layers.Dropout(0.3),
    "TimeDistributed": lambda: layers.TimeDistributed(layers.Dense(2)),
}


@pytest.mark.parametrize(
    "kinds", [[*INSIDE], *(pytest.param([kind], marks=pytest.mark.sweep) for kind in INSIDE)], ids=str
)
def test_layers_inside(kinds: list[str], tmp_path: Path) -> None:
    """Side by side; alone they are in the sweep."""
    x = keras.Input((None, 5, 3), name="x")
    made = [layers.TimeDistributed(INSIDE[kind](), name=f"steps_{n}")(x) for n, kind in enumerate(kinds)]
    graph = check_everywhere(quiet_model(x, made), tmp_path)
    session = export.Session(tmp_path / "fused.onnx")
    for N, T in ((0, 4), (3, 0), (0, 0)):
        empty = np.zeros((N, T, 5, 3), "float32")
        for found, exact in zip(session.run([empty]), reference.run(graph, [empty]), strict=True):
            assert found.shape == exact.shape


def test_the_mask_goes_through(tmp_path: Path) -> None:
    ids = keras.Input((None,), dtype="int32", name="ids")
    x = layers.Embedding(9, 3, mask_zero=True)(ids)
    x = layers.LSTM(4, return_sequences=True)(x)
    kinds = ["Dense", "BatchNormalization", "LayerNormalization", "Dropout"]
    made = [layers.TimeDistributed(INSIDE[kind]())(x) for kind in kinds]
    behind = [layers.SimpleRNN(2, name=f"behind_{n}")(one) for n, one in enumerate(made)]
    graph = check_everywhere(quiet_model(ids, [*made, *behind]), tmp_path)
    assert all(
        graph[layer].masks[0] is not None for layer in ("behind_0", "behind_1", "behind_2", "behind_3")
    )


def test_a_layer_called_twice_shares_its_weights(tmp_path: Path) -> None:
    x = keras.Input((6, 3), name="x")
    layer = layers.TimeDistributed(layers.Dense(3, activation="tanh"))
    graph = check_everywhere(quiet_model(x, layer(layer(x))), tmp_path)
    assert graph.nodes[0].op is graph.nodes[1].op


def test_a_planted_fault_is_found() -> None:
    x = keras.Input((None, 3), name="x")
    model = quiet_model(x, layers.TimeDistributed(layers.Dense(3))(x))
    graph = keras_side.read(model)
    (node,) = graph.nodes
    assert isinstance(node.op, ops.TimeDistributed)
    assert isinstance(node.op.layer, ops.Dense)
    inner = dataclasses.replace(node.op.layer, weight=node.op.layer.weight.T.copy())
    wrong = dataclasses.replace(node, op=ops.TimeDistributed(layer=inner))
    report = verify(model, torch_side.write(Graph(graph.inputs, (wrong,), graph.outputs)))
    assert report.verdict is Verdict.DIFFERENT


class EachStep(nn.Module):
    """A module over the steps of all rows, one below the other, as `TimeDistributed` is written."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(x.flatten(0, 1)).unflatten(0, (x.size(0), x.size(1)))


def test_a_plain_module_inside_is_read() -> None:
    inner = nn.Sequential(nn.Linear(2, 2), nn.Tanh(), nn.Linear(2, 2))
    module = nn.Sequential(EachStep(nn.Linear(3, 2)), EachStep(inner))
    graph = torch_side.read(module, [Value("input", ("N", "T", 3), "float32")])
    check_same(graph, [keras_side.write(graph)], [torch_side.write(graph)])
    x = torch.randn(2, 4, 3)
    torch.testing.assert_close(module(x), torch_side.write(graph)(x))


W = 4
"""Words of a sentence."""


def encoder() -> keras.Model:
    """Words to a sentence, those of padding left out on the way: ``(N, W)`` ids to ``(N, 4)``."""
    words = keras.Input((W,), dtype="int32", name="words")
    x = layers.Embedding(VOCABULARY, 3, mask_zero=True, name="table")(words)
    x = layers.Bidirectional(layers.LSTM(2, return_sequences=True), name="both")(x)
    shares = keras.ops.softmax(layers.Dense(1, activation="tanh", name="score")(x), axis=1)
    return keras.Model(words, keras.ops.sum(shares * x, axis=1), name="encoder")


def hierarchical(T: int | None = None) -> keras.Model:
    """Sentences to a text: ``(N, T, W)`` ids to ``(N, 1)``."""
    text = keras.Input((T, W), dtype="int32", name="text")
    x = layers.TimeDistributed(encoder(), name="sentences")(text)
    x = layers.GRU(3, name="scan")(x)
    return quiet_model(text, layers.Dense(1, activation="sigmoid", name="head")(x))


def texts(T: int) -> np.ndarray:
    """Sentences of every pattern of mask, some of padding alone, and a text of such: ``(7, T, W)``."""
    rng = np.random.default_rng(T)
    ids = np.stack([padded_ids(MASKS[n % len(MASKS)], 7, W, rng) for n in range(T)], axis=1)
    ids[-1] = 0
    return ids


def test_a_hierarchical_attention_network(tmp_path: Path) -> None:
    with floats("float64"):
        model = hierarchical()
    graph = keras_side.read(model)
    # Keras numbers operations.
    assert [node.name.rstrip("_0123456789") for node in graph.nodes] == [
        "sentences.rows",
        "sentences.table",
        "sentences.table_mask",
        "sentences.both",
        "sentences.score",
        *(f"sentences.{name}" for name in ("softmax", "multiply", "sum")),
        *("sentences", "scan", "head"),
    ]
    module = torch_side.write(graph)
    export.write(graph.astype("float32"), tmp_path / "model.onnx")
    session = export.Session(tmp_path / "model.onnx")
    for T in (1, 3):
        wanted = np.asarray(model(texts(T)))
        np.testing.assert_allclose(reference.run(graph, [texts(T)])[0], wanted, rtol=0, atol=1e-12)
        np.testing.assert_allclose(torch_side.run(module, [texts(T)])[0], wanted, rtol=0, atol=1e-12)
        np.testing.assert_allclose(session.run([texts(T)])[0], wanted, rtol=0, atol=3e-6)
    for N, T in ((0, 2), (2, 0), (0, 0)):
        empty = np.zeros((N, T, W), "int32")
        wanted = reference.run(graph, [empty])[0]
        np.testing.assert_allclose(session.run([empty])[0], wanted, rtol=0, atol=1e-6)


def test_a_file_of_it_and_loading_and_tracing_it(tmp_path: Path) -> None:
    model = hierarchical(2)
    graph = keras_side.read(model)
    for suffix in ("keras", "h5"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.save(tmp_path / f"model.{suffix}")
        assert keras_side.read(tmp_path / f"model.{suffix}") == graph
    again = randomize(keras.saving.load_model(tmp_path / "model.keras"), 1)
    assert keras_side.read(again) != graph
    keras_side.load(again, graph)
    assert keras_side.read(again) == graph
    traced = keras_side.trace(model, {"case": [texts(2)]}, graph)
    wanted = reference.trace(graph.astype("float64"), [texts(2)])
    # What is inside gives a step at a time, and the mask of its words.
    assert wanted.keys() - traced.values["case"].keys() == {"text", "sentences.rows"}
    for name, array in traced.values["case"].items():
        np.testing.assert_allclose(array, wanted[name], rtol=0, atol=1e-5, err_msg=name)


def test_gradients() -> None:
    model = hierarchical()
    module = torch_side.write(keras_side.read(model))
    cotangents = [np.ones((7, 1), "float32")]
    _, of_keras = keras_side.gradients(model, [texts(3)], cotangents)
    _, of_torch = torch_side.gradients(module, [texts(3)], cotangents)
    assert "sentences.both.forward.weight_hh.i" in of_keras
    for name, slope in of_keras.items():
        np.testing.assert_allclose(slope, of_torch[name], rtol=0, atol=1e-5, err_msg=name)


@pytest.mark.sweep
def test_what_it_is_written_as_trains(tmp_path: Path) -> None:
    graph = keras_side.read(hierarchical())
    keras_side.write(graph).save(tmp_path / "again.keras")
    again: Any = keras.saving.load_model(tmp_path / "again.keras")
    assert keras_side.read(again) == graph
    again.compile("sgd", "binary_crossentropy")
    # Keras' own layer runs as many steps as there are rows where a graph does not say how many steps.
    for T in (1, 3):
        assert np.isfinite(again.train_on_batch(texts(T), np.arange(7.0) % 2))
    moved = keras_side.read(again)
    assert not np.array_equal(
        moved["sentences.table"].op.weights()["weight"], graph["sentences.table"].op.weights()["weight"]
    )
    np.testing.assert_allclose(
        again.predict_on_batch(texts(3)), reference.run(moved, [texts(3)])[0], rtol=0, atol=1e-5
    )


def called_twice() -> keras.Model:
    one = keras.Input((3, W), dtype="int32", name="one")
    two = keras.Input((2, W), dtype="int32", name="two")
    layer = layers.TimeDistributed(encoder(), name="sentences")
    return quiet_model([one, two], layers.Add()([layers.GRU(2)(layer(one)), layers.GRU(2)(layer(two))]))


def nested() -> keras.Model:
    x = keras.Input((2, 3, W), dtype="int32", name="x")
    return quiet_model(x, layers.TimeDistributed(hierarchical(3), name="texts")(x))


def twice_around() -> keras.Model:
    x = keras.Input((2, 3, W), dtype="int32", name="x")
    each = layers.TimeDistributed(layers.TimeDistributed(encoder(), name="sentences"), name="texts")
    return quiet_model(x, layers.Flatten()(each(x)))


def floats_as_ids() -> keras.Model:
    x = keras.Input((2, W), name="x")
    return quiet_model(x, layers.TimeDistributed(encoder(), name="sentences")(x))


def given_vectors(inside: Callable[[], Any]) -> keras.Model:
    """A layer inside is given vectors of words, and their mask: one for each word of each sentence."""
    ids = keras.Input((None, W), dtype="int32", name="ids")
    x = layers.Embedding(VOCABULARY, 3, mask_zero=True)(ids)
    return quiet_model(ids, layers.TimeDistributed(inside(), name="each")(x))


def given_features(inside: Callable[[], Any], masked: bool = False) -> keras.Model:
    x = keras.Input((None, W, 3), name="x")
    y = layers.Masking(name="masking")(x) if masked else x
    return quiet_model(x, layers.TimeDistributed(inside(), name="each")(y))


def in_a_model(layer: Callable[[Any], Any], *shape: int) -> Callable[[], keras.Model]:
    def make() -> keras.Model:
        x = keras.Input(shape)
        return keras.Model(x, layer(x))

    return make


def with_states(x: Any) -> Any:
    sequence, state = layers.GRU(2, return_sequences=True, return_state=True)(x)
    return layers.Concatenate()([layers.GlobalMaxPooling1D()(sequence), state])


def steps_masked() -> keras.Model:
    """The mask of the steps goes by a model of layers that take none."""
    ids = keras.Input((None,), dtype="int32", name="ids")
    x = layers.Embedding(VOCABULARY, 3, mask_zero=True)(ids)
    inside = in_a_model(lambda y: layers.BatchNormalization()(layers.Dense(3, "relu")(y)), 3)
    return quiet_model(ids, layers.LSTM(2)(layers.TimeDistributed(inside(), name="each")(x)))


SPREAD: dict[str, Callable[[], keras.Model]] = {
    "called twice": called_twice,
    "nested": nested,
    "twice around": twice_around,
    "floats as ids": floats_as_ids,
    "steps masked": steps_masked,
    "embedding": lambda: quiet_model(
        x := keras.Input((None, W), dtype="int32", name="x"),
        layers.TimeDistributed(layers.Embedding(VOCABULARY, 3, mask_zero=True), name="each")(x),
    ),
    "masked LSTM": lambda: given_vectors(lambda: layers.LSTM(2)),
    "masked sequence": lambda: given_vectors(lambda: layers.GRU(2, return_sequences=True)),
    "masked Bidirectional": lambda: given_vectors(lambda: layers.Bidirectional(layers.SimpleRNN(2))),
    "masked mean": lambda: given_vectors(layers.GlobalAveragePooling1D),
    "masked model": lambda: given_vectors(in_a_model(lambda x: layers.LSTM(2)(layers.Dense(3)(x)), W, 3)),
    "masked features": lambda: given_features(lambda: layers.LSTM(2), masked=True),
    "masking inside": lambda: given_features(in_a_model(lambda x: layers.LSTM(2)(layers.Masking()(x)), W, 3)),
    "attention": lambda: given_features(in_a_model(lambda x: layers.MultiHeadAttention(2, 2)(x, x), W, 3)),
    "states": lambda: given_features(in_a_model(with_states, W, 3)),
    "reshape": lambda: given_features(in_a_model(lambda x: keras.ops.reshape(x, (-1, 6, 2)), W, 3)),
    "backwards first": lambda: given_features(
        lambda: layers.Bidirectional(
            layers.LSTM(2, go_backwards=True), backward_layer=layers.GRU(3, return_sequences=False)
        )
    ),
    "layer as activation": lambda: given_features(lambda: layers.Dense(2, activation=layers.LeakyReLU(0.3))),
}


@pytest.mark.parametrize(
    "name",
    [
        name if name in ("called twice", "masked LSTM") else pytest.param(name, marks=pytest.mark.sweep)
        for name in SPREAD
    ],
)
def test_what_becomes_several_nodes(name: str, tmp_path: Path) -> None:
    graph = check_everywhere(SPREAD[name](), tmp_path)
    session = export.Session(tmp_path / "fused.onnx")
    shapes = [tuple(value.shape) for value in graph.inputs]
    for letters in ({"N": 0, "T": 2}, {"N": 2, "T": 0}):
        empty = [
            np.zeros([dim if isinstance(dim, int) else letters[str(dim)] for dim in shape], value.dtype)
            for shape, value in zip(shapes, graph.inputs, strict=True)
        ]
        for one, two in zip(session.run(empty), reference.run(graph, empty), strict=True):
            assert one.shape == two.shape


def test_channels_first_inside() -> None:
    """Held against Keras' channels last: not every CPU convolves channels first inside of TimeDistributed."""
    rng = np.random.default_rng(0)
    first, last = (layers.Conv1D(4, 2, data_format=f"channels_{order}") for order in ("first", "last"))
    model = randomize(given_features(lambda: first))
    each = layers.TimeDistributed(last)
    x = rng.normal(size=(2, 3, W, 3)).astype("float32")
    each.build((2, 3, 3, W))
    each.set_weights(model.get_weights())
    wanted = np.asarray(each(x.swapaxes(2, 3))).swapaxes(2, 3)
    (mine,) = reference.run(keras_side.read(model), [x])
    np.testing.assert_allclose(mine, wanted, rtol=0, atol=1e-6)


def test_every_mask_of_words(tmp_path: Path) -> None:
    """The same mask comes into a model and a layer alike, and goes on to the next of them."""
    ids = keras.Input((None, W), dtype="int32", name="ids")
    with floats("float64"):
        x = layers.Embedding(VOCABULARY, 3, mask_zero=True)(ids)
        x = layers.TimeDistributed(layers.Dense(3, "tanh"))(x)
        inside = in_a_model(lambda y: layers.LSTM(2, return_sequences=True)(layers.Dense(3)(y)), W, 3)
        x = layers.TimeDistributed(inside())(x)
        model = quiet_model(ids, layers.TimeDistributed(layers.Bidirectional(layers.GRU(2)))(x))
    graph = keras_side.read(model)
    wanted = np.asarray(model(texts(3)))
    np.testing.assert_allclose(reference.run(graph, [texts(3)])[0], wanted, rtol=0, atol=1e-12)
    assert sum(node.masks != (None,) * len(node.masks) for node in graph.nodes) == 2


def test_all_that_is_wrong_inside_is_told_at_once() -> None:
    x = keras.Input((4, W, 3), name="x")
    inside = keras.Sequential(
        [keras.Input((W, 3)), layers.Activation("sparsemax", name="own"), layers.Conv1D(2, 2, name="fine")]
    )
    inside.add(layers.Dropout(0.1, noise_shape=(None, 1, 2), name="apart"))
    model = keras.Model(x, layers.TimeDistributed(inside, name="each")(x))
    with pytest.raises(UnsupportedError, match=r"(?s)'own'.*'apart'|'apart'.*'own'"):
        keras_side.read(model)


def test_refusals() -> None:
    x = keras.Input((4, 5, 3), name="x")
    mask = keras.Input((4,), dtype="bool", name="mask")
    for inside in (layers.LSTM(2), layers.GlobalAveragePooling1D(), layers.TimeDistributed(layers.Dense(2))):
        masked = layers.TimeDistributed(inside)(x, mask=mask)
        with pytest.raises(UnsupportedError, match=r"mask=.*input without a mask"):
            keras_side.read(keras.Model([x, mask], masked))
    words = keras.Input((4, 5), dtype="bool", name="words")
    masked = layers.TimeDistributed(layers.LSTM(2))(x, mask=words)
    keras_side.read(keras.Model([x, words], masked))
    # Keras fails over it, or mixes words with units where there are as many.
    with pytest.raises(UnsupportedError, match=r"'behind'.*mask='of 3 dimensions'.*masks of the steps"):
        keras_side.read(keras.Model([x, words], layers.LSTM(2, name="behind")(masked)))


def test_a_wider_layer_inside_is_refused_by_name() -> None:
    text = keras.Input((None, W, 3), name="text")
    inside = in_a_model(lambda x: layers.LSTM(2, name="words")(x), W, 3)()
    x = layers.GRU(2, name="scan")(layers.TimeDistributed(inside, name="each")(text))
    graph = keras_side.read(quiet_model(text, x))
    with pytest.raises(UnsupportedError, match=r"'each' .ReshapeTo.: input='wider"):
        bidirect(graph, layers=["each.words"])
    assert bidirect(graph, layers=["scan"]).graph["scan"].op.kind == "Bidirectional"
