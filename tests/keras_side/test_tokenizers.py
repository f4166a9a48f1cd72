"""Layers that read texts are tokenisers beside the graph, and give the very ids that Keras gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

import keras_side
from biport import reference
from biport.errors import FileError, InputError, UnsupportedError
from biport.graph import Graph
from biport.text import Tokenizer
from testing.models import randomize

layers: Any = keras.layers  # Keras annotates fewer types than it takes.
VOCABULARY = ["good", "bad", "movie", "good movie", "\u00e9", "\u0130", "x\u00a0y", "[UNK]", "0"]
LETTERS = "abAB019 .,!?'\"-_@[\\]^`{|}~"
LETTERS += "\t\n\v\f\r\0\x1c\x85\xa0\u2028\u200b\u0130\u00e9\u00c9\u00df\u4e2d\U0001f44d\u0301"
HOSTILE = [
    "Good movie, GOOD movie!",
    "",
    " \t\n\v\f\r ",
    "bad\tbad  x\u00a0y\u00c9 \u00e9\u0130\u00e9 \u00e9",
    "g.o'o\"d [UNK] b{}ad 0\0 \0",
    "\U0001f44d\U0001f3fd\u200b \u2028good\x85bad good",
    "movie " * 300,
]
SETTINGS = [
    {},
    {"standardize": None, "output_sequence_length": 4},
    {"standardize": "lower", "ngrams": 2},
    {"standardize": "strip_punctuation", "ngrams": (2, 1)},
    {"split": "character", "output_sequence_length": 9},
]


def tokenizer_of(layer: Any, shape: tuple = ()) -> Tokenizer:
    graph = keras_side.read(keras.Sequential([keras.Input(shape, dtype="string", name="text"), layer]))
    return graph.tokenizers["text"]


@pytest.mark.parametrize(
    "settings", [pytest.param(s, marks=pytest.mark.sweep) for s in SETTINGS[:-2]] + SETTINGS[-2:], ids=str
)
def test_ids_are_those_of_keras(settings: dict) -> None:
    layer = layers.TextVectorization(vocabulary=VOCABULARY, **settings)
    np.testing.assert_array_equal(tokenizer_of(layer).encode_batch(HOSTILE), layer(tf.constant(HOSTILE)))


@pytest.mark.sweep
@given(st.data())
def test_ids_of_any_texts(data: st.DataObject) -> None:
    texts = data.draw(st.lists(st.text(LETTERS, max_size=14), min_size=1, max_size=4))
    settings = {
        "standardize": data.draw(
            st.sampled_from([None, "lower", "strip_punctuation", "lower_and_strip_punctuation"])
        ),
        "split": data.draw(st.sampled_from(["whitespace", "character"])),
        "ngrams": data.draw(st.sampled_from([None, 1, 2, (2,), (3, 1)])),
        "output_sequence_length": data.draw(st.sampled_from([None, 1, 5])),
    }
    known = Tokenizer(("a",), **_as_tokenizer(settings))
    tokens = sorted({token.rstrip("\0") for text in texts for token in known.split_text(text)} - {""})
    layer = layers.TextVectorization(vocabulary=tokens[::2] or ["a"], **settings)
    np.testing.assert_array_equal(tokenizer_of(layer).encode_batch(texts), layer(tf.constant(texts)))


def _as_tokenizer(settings: dict) -> dict:
    ngrams = settings["ngrams"]
    return {
        "standardize": settings["standardize"] or "none",
        "split": settings["split"],
        "ngrams": ()
        if ngrams is None
        else ngrams
        if isinstance(ngrams, tuple)
        else tuple(range(1, ngrams + 1)),
    }


def outputs_of(graph: Graph, texts: list) -> list[np.ndarray]:
    return reference.run(graph, [graph.tokenizers[value.name].encode_batch(texts) for value in graph.inputs])


def several_readers() -> tuple[keras.Model, list]:
    """One input of texts read by two layers and in a model inside, with ids and with weighted counts."""
    text = keras.Input((), dtype="string", name="text")
    ids = layers.TextVectorization(vocabulary=VOCABULARY, name="ids")(text)
    adapted = layers.TextVectorization(output_mode="tf_idf", ngrams=2, name="weights")
    adapted.adapt(["good movie", "bad bad movie"])
    inside = keras.Sequential(
        [keras.Input((None,), dtype="int64"), layers.Embedding(11, 3, mask_zero=True), layers.LSTM(2)]
    )
    counts = layers.Dense(2)(adapted(text))
    return keras.Model(text, layers.Concatenate()([inside(ids), counts])), ["Good movie", "bad x \u00e9", "x"]


def ready_tokens() -> tuple[keras.Model, list]:
    tokens = keras.Input((3,), dtype="string", name="text")
    lookup = layers.StringLookup(vocabulary=VOCABULARY, mask_token="")
    counted = layers.StringLookup(
        vocabulary=VOCABULARY, mask_token="", output_mode="count", max_tokens=20, pad_to_max_tokens=True
    )
    y = layers.GRU(2)(layers.Embedding(11, 3, mask_zero=True)(lookup(tokens)))
    return keras.Model(tokens, [y, layers.Dense(2)(counted(tokens))]), [["good", "", "x"], ["bad", "bad", ""]]


@pytest.mark.sweep
@pytest.mark.parametrize("make", [several_readers, ready_tokens])
def test_a_model_of_texts_computes_what_keras_does(make: Any, tmp_path: Path) -> None:
    model, texts = make()
    randomize(model)
    graph = keras_side.read(model)
    for exact, given_ids in zip(
        keras.tree.flatten(model(tf.constant(texts))), outputs_of(graph, texts), strict=True
    ):
        np.testing.assert_allclose(exact, given_ids, rtol=0, atol=1e-6)
    model.save(tmp_path / "model.keras")
    again = keras_side.read(tmp_path / "model.keras")
    assert (again, again.tokenizers) == (graph, graph.tokenizers)


@pytest.mark.sweep
def test_a_file_of_hdf5_has_what_was_given_and_nothing_else(tmp_path: Path) -> None:
    text = keras.Input((1,), dtype="string", name="text")
    settings = {"output_mode": "tf_idf", "idf_weights": [0.5, 0.25, 2.0], "ngrams": (1, 2)}
    layer = layers.TextVectorization(vocabulary=VOCABULARY[:3], **settings)
    model = keras.Model(text, layers.Dense(2)(layer(text)))
    model.save(tmp_path / "model.h5")
    graph = keras_side.read(model)
    again = keras_side.read(tmp_path / "model.h5")
    assert (again, again.tokenizers) == (graph, graph.tokenizers)
    adapted = layers.TextVectorization()
    adapted.adapt(["a b"])
    keras.Model(text, adapted(text)).save(tmp_path / "adapted.h5")
    with pytest.raises(UnsupportedError, match="vocabulary='adapted, in HDF5'"):
        keras_side.read(tmp_path / "adapted.h5")


@pytest.mark.sweep
@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
@pytest.mark.parametrize("ending", ["keras", "h5"])
def test_files_of_keras_2(ending: str, tmp_path: Path) -> None:
    older = pytest.importorskip("tf_keras")
    old: Any = older.layers
    text, numbers = older.Input((), dtype="string", name="text"), older.Input((2,), name="numbers")
    vectorize = old.TextVectorization(ngrams=2, **({} if ending == "keras" else {"vocabulary": VOCABULARY}))
    if ending == "keras":
        vectorize.adapt(["a good movie", "bad"])
    bins = old.Discretization(bin_boundaries=[0.0, 1.0])(numbers)
    parts = [old.GRU(2)(old.Embedding(20, 2)(ids)) for ids in (vectorize(text), bins)]
    model = older.Model([text, numbers], old.Concatenate()(parts))
    model.save(tmp_path / f"model.{ending}")
    graph = keras_side.read(tmp_path / f"model.{ending}")
    texts, rows = ["A good movie", "bad x movie"], np.array([[0.0, -1.0], [0.5, 1.0]], "float32")
    ids = graph.tokenizers["text"].encode_batch(texts)
    (exact,) = reference.run(graph, [ids, rows])
    np.testing.assert_allclose(model([tf.constant(texts), tf.constant(rows)]), exact, rtol=0, atol=1e-6)


def test_what_it_looks_up_now_counts_not_what_it_was_made_with() -> None:
    layer = layers.StringLookup(vocabulary=["a", "b"])
    layer.set_vocabulary(["b", "c\0", "a"])
    # NumPy drops what is zero behind a text, and Keras gives it the vocabulary.
    assert tokenizer_of(layer, (2,)).tokens == ("b", "c", "a")


def test_a_token_that_keras_itself_divides_on_loading(tmp_path: Path) -> None:
    layer = layers.TextVectorization()
    layer.adapt(["a\u2028b c"])
    model = keras.Sequential([keras.Input((), dtype="string"), layer])
    model.save(tmp_path / "model.keras")
    assert "a\u2028b" in next(iter(keras_side.read(model).tokenizers.values())).tokens
    with pytest.raises(FileError, match="line break"):
        keras_side.read(tmp_path / "model.keras")


def backwards(texts: Any) -> Any:
    return texts


REFUSED = [
    (layers.TextVectorization, {"ragged": True}, (), "ragged=True"),
    (layers.TextVectorization, {"standardize": backwards}, (), "standardize='backwards'"),
    (layers.TextVectorization, {"split": backwards}, (), "split='backwards'"),
    (layers.TextVectorization, {"encoding": "latin-1"}, (), "encoding='latin-1'"),
    (layers.TextVectorization, {"output_mode": "one_hot"}, (), "output_mode='one_hot'"),
    (layers.TextVectorization, {"split": None, "output_sequence_length": 3}, (), r"tokens \(N, T\)"),
    (layers.StringLookup, {"num_oov_indices": 3}, (2,), "num_oov_indices=3"),
    (layers.StringLookup, {"output_mode": "multi_hot"}, (), "multi_hot of 1 dimensions"),
]


@pytest.mark.parametrize("kind, settings, shape, message", REFUSED, ids=[case[3] for case in REFUSED])
def test_what_is_refused_says_which_setting(kind: Any, settings: dict, shape: tuple, message: str) -> None:
    with pytest.raises(UnsupportedError, match=message):
        tokenizer_of(kind(vocabulary=VOCABULARY, **settings), shape)


def test_texts_go_nowhere_else() -> None:
    text = keras.Input((1,), dtype="string", name="text")
    layer = layers.TextVectorization(vocabulary=VOCABULARY)
    for outputs in ([layer(text), text], layer(layers.Reshape((1,))(text)), layers.Flatten()(text)):
        with pytest.raises(UnsupportedError, match=r"input 'text'.*TextVectorization"):
            keras_side.read(keras.Model(text, outputs))
    with pytest.raises(InputError, match="no vocabulary yet"):
        keras_side.read(keras.Model(text, layers.TextVectorization()(text)))
