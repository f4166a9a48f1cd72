"""Keras' own tokenisers beside the nodes that are written of them, over hostile texts."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
import onnxruntime
import pytest
from keras.src.legacy.preprocessing.text import Tokenizer as KerasTokenizer

import export
import keras_side
from biport import ops
from biport.graph import Graph, Node, Value
from biport.text import Tokenizer, read_tokenizer
from biport.text.characters import refused
from biport.text.samples import ODD
from export.text.plan import plan_of

CORPUS = [
    "A good movie, a GOOD one!",
    "Bad: don't watch it - it's bad; really\tbad.\nNever again?",
    "caf\u00e9 na\u00efve \u4e2d\u6587 stra\u00dfe \u00e9t\u00e9",
    "a_b c-d e.f (g) [h] {i} ~j~ `k` ^l^ |m| \\n\\ /o/ <p> =q= +r+ *s* &t& %u% $v$ #w# @x@",
]
PIECES = [*"!\"#$%&()*+,-./:;<=>?@[]^_`{|}~\t\n\r \u00a0\u2003'\u2019\u201c\u00df\u00e9\u4e2d\x00\u0301AzQ"]


def nodes_alone(tokenizer: Tokenizer, path: Path) -> onnxruntime.InferenceSession:
    """The ids that a file makes of texts, run without anything of biport."""
    K = tokenizer.largest_id + 1
    table = ops.Embedding(num_embeddings=K, embedding_dim=1, weight=np.arange(K, dtype="float32")[:, None])
    inputs = (Value("text", ("N", tokenizer.length or "T"), "int32"),)
    graph = Graph(inputs, (Node("y", table, ("text",)),), ("y",), {}, {"text": tokenizer})
    export.write(graph, path, embed_tokenizer=True, refuse_characters=True, vectors=False)
    onnx.checker.check_model(str(path), full_check=True)
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


@pytest.mark.sweep
@pytest.mark.parametrize(
    "settings, layout",
    [
        ({}, {"maxlen": 6}),
        ({"oov_token": "<OOV>", "num_words": 9}, {"maxlen": 5, "padding": "post", "truncating": "pre"}),
        ({"num_words": 12}, {"maxlen": 4, "padding": "pre", "truncating": "post"}),
        (
            {"lower": False, "filters": "!,.", "split": "-"},
            {"maxlen": 7, "padding": "post", "truncating": "post"},
        ),
        ({"oov_token": "good", "filters": ""}, {"maxlen": 20}),
    ],
    ids=str,
)
def test_keras_tokenizer(settings: dict[str, Any], layout: dict[str, Any], tmp_path: Path) -> None:
    own = KerasTokenizer(**settings)
    own.fit_on_texts(CORPUS)
    (tmp_path / "tokenizer.json").write_text(own.to_json())
    names = {"maxlen": "length", "padding": "padding", "truncating": "truncating"}
    given = {"padding": "pre", "truncating": "pre", **layout}
    read = read_tokenizer(tmp_path / "tokenizer.json")
    tokenizer = dataclasses.replace(read, **{names[key]: value for key, value in given.items()})
    session = nodes_alone(tokenizer, tmp_path / "m.onnx")
    rng = np.random.default_rng(0)
    texts = [*CORPUS, *ODD, *("".join(rng.choice([*PIECES, "good", "bad", "it's"], 15)) for _ in range(150))]
    known = plan_of(tokenizer, "text", True).characters
    texts = [text for text in texts if known is None or not any(refused(known, text))]
    assert len(texts) > 100
    wanted = keras.utils.pad_sequences(own.texts_to_sequences(texts), **layout)
    (ids,) = session.run(None, {"text": np.array(texts, object)})
    np.testing.assert_array_equal(np.asarray(ids)[..., 0], wanted)


@pytest.mark.sweep
@pytest.mark.parametrize(
    "settings",
    [{}, {"ngrams": 2, "output_sequence_length": 5}, {"standardize": "lower"}, {"standardize": None}],
    ids=str,
)
def test_text_vectorization(settings: dict[str, Any], tmp_path: Path) -> None:
    layer = keras.layers.TextVectorization(**settings)
    layer.adapt(CORPUS)
    inputs = keras.Input((), dtype="string", name="text")
    embedded = keras.layers.Embedding(layer.vocabulary_size(), 1)(layer(inputs))
    graph = keras_side.read(keras.Model(inputs, embedded))
    session = nodes_alone(graph.tokenizers["text"], tmp_path / "m.onnx")
    rng = np.random.default_rng(0)
    texts = [*CORPUS, *ODD, *("".join(rng.choice([*PIECES, "good", "bad", "it's"], 15)) for _ in range(150))]
    (ids,) = session.run(None, {"text": np.array(texts, object)})
    np.testing.assert_array_equal(np.asarray(ids)[..., 0], layer(np.array(texts, object)))
