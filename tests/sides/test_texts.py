"""A model of texts on every side: its tokeniser goes where the model goes, and the numbers stay."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import torch

import export
import keras_side
import torch_side
from biport import bundle, verify
from biport.errors import FileError
from testing.models import randomize

layers: Any = keras.layers  # Keras annotates fewer types than it takes.


def sentiment() -> keras.Model:
    adapted = layers.TextVectorization(output_sequence_length=6)
    adapted.adapt(["good movie", "a bad, bad movie!"])
    stack = [adapted, layers.Embedding(6, 3, mask_zero=True), layers.GRU(2), layers.Dense(1, "sigmoid")]
    return randomize(keras.Sequential([keras.Input((1,), dtype="string", name="review"), *stack]))


def test_texts_give_what_keras_gives_of_them(tmp_path: Path) -> None:
    model = sentiment()
    graph = keras_side.read(model)
    assert bundle.read(bundle.write(graph, tmp_path / "bundle")).tokenizers == graph.tokenizers
    again = keras_side.read(keras_side.write(graph, texts=True))
    assert (again, again.tokenizers) == (graph, graph.tokenizers)
    export.write(graph, tmp_path / "texts.onnx", embed_tokenizer=True, vectors=False)
    texts = [np.array(["Good movie", "bad \u00e9 BAD!"], object)]
    report = verify(model, tmp_path / "texts.onnx", inputs=texts)
    assert report.ok, report.table
    assert any("given texts" in note for note in report.notes)
    (tmp_path / "bundle" / bundle.TOKENIZERS).write_text('{"review": {}}')
    with pytest.raises(FileError, match=r"tokenizers\.json"):
        bundle.read(tmp_path / "bundle")


@pytest.mark.sweep
def test_a_tokenizer_goes_where_its_model_goes(tmp_path: Path) -> None:
    model = sentiment()
    graph = keras_side.read(model)
    torch_side.write_folder(graph, tmp_path / "torch")
    export.write(graph, tmp_path / "texts.onnx", embed_tokenizer=True)
    export.write(graph, tmp_path / "ids.onnx")
    assert torch_side.read_folder(tmp_path / "torch").tokenizers == graph.tokenizers
    texts = ["Good movie", "a bad, bad \u00c9 movie!", ""]
    module = torch_side.load_folder(tmp_path / "torch")
    own = sys.modules[type(module).__module__]
    with torch.no_grad():
        given = module(own.encode(texts, folder=tmp_path / "torch"))
    np.testing.assert_allclose(given, model(tf.constant(texts)), rtol=0, atol=1e-6)
    forms = [tmp_path / "torch", tmp_path / "texts.onnx", tmp_path / "ids.onnx"]
    report = verify(model, *forms, float64=True)
    assert report.ok, report.table
    assert verify(model, tmp_path / "ids.onnx", inputs=[np.array([["Good movie"], ["bad"]], object)]).ok


@pytest.mark.sweep
def test_texts_beside_numbers(tmp_path: Path) -> None:
    """In the order in which the model takes them, by name too, and one layer for two inputs of texts."""
    title, body = (keras.Input((), dtype="string", name=name) for name in ("title", "body"))
    stars = keras.Input((2,), name="stars")
    shared = layers.TextVectorization(vocabulary=["good", "bad"])
    embedded = layers.Embedding(4, 2, mask_zero=True)
    parts = [layers.GRU(2)(embedded(shared(text))) for text in (title, body)]
    model = randomize(keras.Model([stars, body, title], layers.Concatenate()([*parts, stars])))
    graph = keras_side.read(model)
    assert [value.name for value in graph.inputs] == ["stars", "body", "title"]
    export.write(graph, tmp_path / "texts.onnx", embed_tokenizer=True)
    export.write(graph, tmp_path / "ids.onnx")
    report = verify(model, tmp_path / "texts.onnx", tmp_path / "ids.onnx")
    assert report.ok, report.table
    given = {"title": ["a good one"], "stars": np.ones((1, 2), "float32"), "body": ["bad"]}
    one, two = (export.Session(tmp_path / name).run(given)[0] for name in ("texts.onnx", "ids.onnx"))
    np.testing.assert_array_equal(one, two)


@pytest.mark.sweep
@pytest.mark.parametrize("change", [{"_standardize": "lower"}, {"_split": "character"}, {"_ngrams": (2,)}])
def test_a_tokenizer_that_does_something_else_is_told(change: dict) -> None:
    model = sentiment()
    graph = keras_side.read(model)
    for name, value in change.items():
        setattr(model.layers[0], name, value)
    assert verify(graph, model).at_fault == ["keras"]


@pytest.mark.sweep
@pytest.mark.parametrize(
    "settings, shape",
    [
        ({"ngrams": (2, 1), "split": "character", "standardize": None}, ()),
        ({"ngrams": (1, 2), "split": None, "output_sequence_length": 5}, (None,)),
        ({"mask_token": "m", "num_oov_indices": 0}, (3,)),
        ({}, ()),
    ],
    ids=str,
)
def test_keras_is_given_its_tokenizer_back(settings: dict, shape: tuple, tmp_path: Path) -> None:
    kind = layers.TextVectorization if "split" in settings else layers.StringLookup
    lookup = kind(vocabulary=["good", "[UNK]", "\u0130", "good bad"], **settings)
    stack = [keras.Input(shape, dtype="string", name="text"), lookup, layers.Embedding(11, 2)]
    model = randomize(keras.Sequential(stack))
    graph = keras_side.read(model)
    path = keras_side.save(graph, tmp_path / "model.keras", texts=True)
    again = keras_side.read(path)
    assert (again, again.tokenizers) == (graph, graph.tokenizers)
    assert verify(model, path).ok
