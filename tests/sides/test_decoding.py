"""Decoding over all frameworks: the halves compute what the whole model does, and all write the same."""

from __future__ import annotations

import functools
import itertools
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

import export
import keras_side
import torch_side
from biport import reference
from biport.data import Vocabulary
from biport.decoding import Stepper, Translator, agreement, beam, greedy, reference_stepper, split
from biport.decoding.stepper import Reading
from biport.errors import FileError, InputError, UnsupportedError
from biport.graph import Graph
from keras_side.models.seq2seq import seq2seq
from testing.models import randomize
from torch_side.models import seq2seq as torch_seq2seq

START, END = 2, 3
TRANSLATORS: dict[str, dict[str, Any]] = {
    "lstm, concat, dot": {"units": (4,)},
    "gru, two layers, dense, additive": {
        "units": (4, 3), "cell": "gru", "bridge": "dense", "decoder_units": 5, "attention": "additive"
    },
    "gru, unmasked": {"units": (3,), "cell": "gru", "masked": False},
    "lstm, dense, no attention": {"units": (2, 3), "bridge": "dense", "decoder_units": 6, "attention": None},
}  # fmt: skip


def family(which: str) -> keras.Model:
    return sharp(seq2seq(11, 9, 5, **TRANSLATORS[which]))


def sharp(model: keras.Model) -> keras.Model:
    """Random weights, large enough at both ends for what is written to hang on what is read."""
    randomize(model)
    for layer in model.layers:
        if isinstance(layer, layers.Embedding | layers.Dense | layers.TimeDistributed):
            matrix, *biases = layer.get_weights()
            layer.set_weights([8 * matrix, *biases])
    *_, bias = model.weights
    bias.assign(bias - 3 * np.eye(9)[END])
    return model


def of_layers(which: str) -> keras.Model:
    """Decoders that people write in other ways than the family's."""
    source, target = (
        layers.Input((None,), dtype="int32", name="a"),
        layers.Input((None,), dtype="int32", name="b"),
    )
    embed = layers.Embedding(11, 5, mask_zero=which != "dots")
    encoded, h, c = layers.LSTM(4, return_sequences=True, return_state=True, name="encoder")(embed(source))
    x = embed(target) if which == "one embedding" else layers.Embedding(9, 5)(target)
    if which == "two decoders, one without states":
        x = layers.GRU(3, return_sequences=True, name="below")(x)
    x, *_ = layers.LSTM(4, return_sequences=True, return_state=True, name="decoder")(x, initial_state=[h, c])
    if which == "one state twice":
        x = layers.GRU(4, return_sequences=True, name="above")(x, initial_state=[h])
    if which == "dots":
        scores = layers.Activation("softmax")(layers.Dot((2, 2))([x, encoded]))
        x = layers.Concatenate()([layers.Dot((2, 1))([scores, encoded]), x])
    if which == "heads":
        x = layers.Add()([x, layers.MultiHeadAttention(2, 3)(x, encoded)])
        x = layers.LayerNormalization()(layers.Dropout(0.5)(x))
    if which == "a sentence vector":
        pooled = layers.Reshape((1, 4))(layers.GlobalAveragePooling1D()(encoded))
        x = layers.Add()([x, pooled])
    logits = which == "logits"
    head = layers.Dense(9, activation=None if logits else "softmax")
    x = layers.TimeDistributed(head)(x) if which == "heads" else head(x)
    return sharp(keras.Model([source, target], x))


WRITTEN = [
    "one embedding",
    "two decoders, one without states",
    "one state twice",
    "dots",
    "heads",
    "a sentence vector",
    "logits",
]


def forced(stepper: Stepper, source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The probabilities of every step, with the target's own tokens fed one after the other."""
    reading: Reading = stepper.start(source)
    return np.stack([np.exp(reading.next(column)) for column in target.T], axis=1)


@functools.cache
def graph_of(which: str) -> Graph:
    return keras_side.read(family(which) if which in TRANSLATORS else of_layers(which))


def ids(rng: np.random.Generator, size: int, *lengths: int) -> np.ndarray:
    rows = np.zeros((len(lengths), max(lengths)), "int32")
    for row, length in enumerate(lengths):
        rows[row, :length] = rng.integers(1, size, length)
    return rows


@pytest.mark.parametrize("which", [*TRANSLATORS, *WRITTEN])
def test_stepped_it_computes_what_the_whole_does(which: str) -> None:
    graph = graph_of(which).astype("float64")
    rng = np.random.default_rng(0)
    source, target = ids(rng, 11, 6, 3, 1, 4), rng.integers(1, 9, (4, 5)).astype("int32")
    source[3, :2] = 0
    (whole,) = reference.run(graph, [source, target])
    if which == "logits":
        whole = np.exp(whole) / np.exp(whole).sum(axis=2, keepdims=True)
    halves = split(graph)
    found = forced(reference_stepper(halves), source, target)
    np.testing.assert_allclose(found, whole, rtol=0, atol=1e-14)
    assert halves.step.inputs[0].shape == ("N", 1)
    parameters = halves.encoder.parameter_count() + halves.step.parameter_count()
    shared = 11 * 5 if which == "one embedding" else 0
    assert parameters == graph.parameter_count() + shared


SEARCHES: dict[Any, dict[str, Any]] = {beam: {"width": 3, "best": 2}, greedy: {}}


@pytest.mark.parametrize(
    ("which", "search"),
    [
        ("gru, two layers, dense, additive", beam),
        ("one embedding", greedy),
        # What the others split is seen where they are stepped; these run as the split ones do.
        *(
            pytest.param(which, search, marks=pytest.mark.sweep)
            for which, search in zip([*TRANSLATORS, *WRITTEN], itertools.cycle(SEARCHES))
            if which != "one embedding"
        ),
    ],
)
def test_every_framework_writes_the_same(which: str, search: Any, tmp_path: Path) -> None:
    graph = graph_of(which)
    export.write_decoder(graph, tmp_path / "decoder")
    steppers = {
        "keras": keras_side.stepper(graph),
        "torch": torch_side.stepper(graph),
        "onnxruntime": export.stepper(tmp_path / "decoder", "cpu"),
    }
    rng = np.random.default_rng(1)
    sources = [rng.integers(1, 11, length).tolist() for length in (5, 1, 0, 3, 5, 5, 3, 8, *[2] * 8)]
    oracle = reference_stepper(split(graph))
    options = {"start": START, "end": END, "max_length": 6, **SEARCHES[search]}
    truth = search(oracle, sources, **options)
    assert len({h.tokens for h in truth}) > 2
    for name, stepper in steppers.items():
        found = search(stepper, sources, **options)
        assert [h.tokens for h in found] == [h.tokens for h in truth], name
        assert agreement(found, truth).ok
        assert [h.score for h in found] == pytest.approx([h.score for h in truth], abs=1e-4)
        assert [len(h.others) for h in found] == [len(h.others) for h in truth]


@pytest.mark.sweep
def test_live_models_and_files_are_decoded(tmp_path: Path) -> None:
    model = family("lstm, concat, dot")
    twin = torch_seq2seq(11, 9, 5, units=(4,))
    torch_side.load(twin, keras_side.read(model))
    model.save(tmp_path / "model.keras")
    options: dict[str, Any] = {"start": START, "end": END, "max_length": 5}
    found = [
        greedy(stepper, [[4, 5, 6], [7]], **options)
        for stepper in (
            keras_side.stepper(model),
            keras_side.stepper(tmp_path / "model.keras"),
            torch_side.stepper(twin),
        )
    ]
    assert twin.training
    assert found[0] == found[1]
    assert agreement(found[0], found[2]).ok


def test_one_hot_targets_and_a_source_of_features() -> None:
    """The layout of characters that Keras' first examples had."""
    source, target = layers.Input((None, 3), name="a"), layers.Input((None, 9), name="b")
    _, *states = layers.LSTM(4, return_state=True)(source)
    x = layers.LSTM(4, return_sequences=True)(target, initial_state=states)
    model = randomize(keras.Model([source, target], layers.Dense(9, activation="softmax")(x)))
    rng = np.random.default_rng(0)
    array = rng.normal(size=(4, 5, 3)).astype("float32")
    tokens = rng.integers(1, 9, (4, 6))
    (whole,) = reference.run(keras_side.read(model), [array, np.eye(9, dtype="float32")[tokens]])
    for stepper in (torch_side.stepper(keras_side.read(model)), keras_side.stepper(model)):
        np.testing.assert_allclose(forced(stepper, array, tokens), whole, atol=1e-6)
        assert len(greedy(stepper, array, start=START, end=END, max_length=4)) == 4


def test_a_source_of_fixed_length_is_padded_and_cut() -> None:
    source, target = (
        layers.Input((4,), dtype="int32", name="a"),
        layers.Input((None,), dtype="int32", name="b"),
    )
    _, h = layers.GRU(3, return_state=True)(layers.Embedding(11, 5)(source))
    x = layers.GRU(3, return_sequences=True)(layers.Embedding(9, 5)(target), initial_state=h)
    model = randomize(keras.Model([source, target], layers.Dense(9, activation="softmax")(x)))
    stepper = torch_side.stepper(keras_side.read(model))
    found = greedy(stepper, [[4, 5], [4, 5, 6, 7, 8], [4, 5, 6, 7]], start=START, end=END, max_length=5)
    padded = greedy(stepper, np.array([[4, 5, 0, 0]], "int32"), start=START, end=END, max_length=5)
    assert found[0] == padded[0]
    assert [h.truncated for h in found] == [False, True, False]
    assert found[1].tokens == found[2].tokens


def refused(which: str) -> keras.Model:
    source, target = (
        layers.Input((None,), dtype="int32", name="a"),
        layers.Input((None,), dtype="int32", name="b"),
    )
    encoded, h = layers.GRU(4, return_sequences=True, return_state=True)(layers.Embedding(11, 4)(source))
    x = layers.Embedding(9, 4)(target)
    head = layers.Dense(9, activation="softmax")
    if which == "both ways":
        x = layers.Bidirectional(layers.GRU(4, return_sequences=True), name="culprit")(x)
    elif which == "backwards":
        x = layers.GRU(4, return_sequences=True, go_backwards=True, name="culprit")(x)
    elif which == "convolution":
        x = layers.Conv1D(4, 2, padding="causal", name="culprit")(x)
    elif which == "self attention":
        x = layers.Attention(name="culprit")([x, x], use_causal_mask=True)
    elif which == "pooled":
        x = layers.RepeatVector(3)(layers.GlobalMaxPooling1D(name="culprit")(x))
    elif which == "last step":
        return keras.Model([source, target], head(layers.GRU(4, name="culprit")(x, initial_state=h)))
    elif which == "sigmoid":
        head = layers.Dense(9, activation="sigmoid", name="culprit")
    elif which == "joined in time":
        x = layers.Concatenate(axis=1, name="culprit")([x, encoded])
    elif which == "the wrong side asks":
        x = layers.Attention(name="culprit")([encoded, x])
    elif which == "a state in between":
        x, state = layers.GRU(4, return_sequences=True, return_state=True)(x)
        x = layers.Add(name="culprit")([x, layers.Reshape((1, 4), name="culprit_2")(state)])
    return keras.Model([source, target], head(x))


@pytest.mark.parametrize(
    "which",
    [
        "both ways",
        "backwards",
        "convolution",
        "self attention",
        "pooled",
        "last step",
        "sigmoid",
        "joined in time",
        "the wrong side asks",
        "a state in between",
    ],
)
def test_decoders_that_cannot_be_stepped_are_refused_by_name(which: str) -> None:
    with pytest.raises(UnsupportedError, match="'culprit"):
        split(keras_side.read(refused(which)))


def test_models_that_are_no_translators_are_refused(tmp_path: Path) -> None:
    x = layers.Input((None,), dtype="int32", name="ids")
    model = keras.Model(x, layers.GRU(3)(layers.Embedding(5, 4)(x)))
    with pytest.raises(UnsupportedError, match=r"inputs=\['ids'\]"):
        split(keras_side.read(model))
    graph = graph_of("gru, unmasked")
    with pytest.raises(UnsupportedError, match="target='other'"):
        split(graph, "other")
    export.write_decoder(graph, tmp_path / "decoder")
    with pytest.raises(InputError, match="exists already"):
        export.write_decoder(graph, tmp_path / "decoder")
    export.write_decoder(graph, tmp_path / "decoder", overwrite=True)
    (tmp_path / "decoder" / "notes.txt").write_text("mine")
    with pytest.raises(FileError, match="something else"):
        export.write_decoder(graph, tmp_path / "decoder", overwrite=True)
    assert (tmp_path / "decoder" / "notes.txt").read_text() == "mine"
    (tmp_path / "decoder" / "step.onnx").rename(tmp_path / "decoder" / "encoder.onnx")
    with pytest.raises(FileError, match="no such file"):
        export.stepper(tmp_path / "decoder", "cpu")
    (tmp_path / "decoder" / "step.onnx").write_bytes((tmp_path / "decoder" / "encoder.onnx").read_bytes())
    with pytest.raises(FileError, match="two halves"):
        export.stepper(tmp_path / "decoder", "cpu")


def test_texts() -> None:
    source = Vocabulary.fit(["abcdefghi"], unit="character")
    target = Vocabulary.fit(["vwxyz"], unit="character", ends=True)
    graph = graph_of("lstm, concat, dot")
    translate = Translator(torch_side.stepper(graph), source, target, max_length=5, max_source=4)
    found = translate(["abc", "", "a?c!", "abcdef", "abcd"])
    assert [t.unknown for t in found] == [(), (), ("?", "!"), (), ()]
    assert found[1].text == ""
    assert found[1].hypothesis.finished
    assert [t.hypothesis.truncated for t in found] == [False, False, False, True, False]
    assert found[3].text == found[4].text
    assert all(set(t.text) <= set("vwxyz") for t in found)
    assert found[0].text == translate(["abc"], width=1)[0].text
    assert translate(["abc"], width=8)[0].hypothesis.score is not None
    with pytest.raises(InputError, match="ends=True"):
        Translator(translate.stepper, source, source)
    with pytest.raises(InputError, match="8 tokens, the model 9"):
        Translator(translate.stepper, source, Vocabulary.fit(["vwxy"], unit="character", ends=True))
    with pytest.raises(InputError, match="put it in a list"):
        translate("abc")
