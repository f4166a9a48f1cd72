"""A model's own tokeniser in the ONNX graph: the ids of `biport.text.Tokenizer`, whatever the strings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import export
from biport import ops, verify
from biport.data import Vocabulary
from biport.errors import InputError, UnsupportedError
from biport.graph import Graph, Node, Value
from biport.text import Tokenizer
from biport.text.samples import ODD
from biport.text.standardize import PUNCTUATION

TOKENS = (
    "good",
    "bad",
    "movie",
    "good movie",
    "\u00e9",
    "\u0130",
    "x\u00a0y",
    "[UNK]",
    "a b c",
    "dont",
    "gooda",
)
TEXTS = [
    *ODD,
    *(f"go{mark}od" for mark in PUNCTUATION),
    *("Good movie, GOOD\tmovie!", "don't g.o.o.d!!a", " ", "...", "a b c d a b c", "\0good\0", "movie " * 70),
]
SETTINGS = [
    {},
    {"ngrams": (2, 1), "length": 5, "padding_id": 13},
    {"standardize": "none", "length": 1},
    {"standardize": "lower", "ngrams": (3,)},
    {"standardize": "strip_punctuation", "ngrams": (1, 2)},
]


def ids_out(tokenizer: Tokenizer, shape: tuple, **others: Tokenizer) -> Graph:
    """A model that gives its ids, as floats ``(..., 1)``."""
    K = max(tokenizer.padding_id, len(tokenizer)) + 1
    table = ops.Embedding(num_embeddings=K, embedding_dim=1, weight=np.arange(K, dtype="float32")[:, None])
    inputs = (Value("text", shape, "int64"), *(Value(name, ("N", f"T_{name}"), "int64") for name in others))
    nodes = tuple(Node(f"y_{value.name}", table, (value.name,)) for value in inputs)
    outputs = tuple(node.name for node in nodes)
    return Graph(inputs, nodes, outputs, {}, {"text": tokenizer, **others})


def embedded(graph: Graph, path: Path) -> export.Session:
    export.write(graph, path, embed_tokenizer=True, vectors=False)
    return export.Session(path, device="cpu", threads=1)


@pytest.mark.parametrize(
    "settings",
    [SETTINGS[1], *(pytest.param(s, marks=pytest.mark.sweep) for s in SETTINGS if s is not SETTINGS[1])],
    ids=str,
)
def test_ids_of_texts(settings: dict, tmp_path: Path) -> None:
    tokenizer = Tokenizer(TOKENS, **settings)
    session = embedded(ids_out(tokenizer, ("N", tokenizer.length or "T")), tmp_path / "m.onnx")
    for texts in (TEXTS, [], [""], ["", " \v"], ["good"]):
        (ids,) = session.run([np.array(texts, object)])
        np.testing.assert_array_equal(ids[..., 0], tokenizer.encode_batch(texts))


@pytest.mark.parametrize(
    "settings, shape, tokens",
    [
        ({"ngrams": (2, 1), "length": 4}, ("N", 4), [["Good", "movie", "!", ""], ["a", "B", "c", "."]]),
        pytest.param(
            {"standardize": "none", "mask_token": "mask"},
            ("N",),
            ["good", "mask", ""],
            marks=pytest.mark.sweep,
        ),
        pytest.param({"standardize": "none"}, ("N", "T"), [["good", "bad", ""]], marks=pytest.mark.sweep),
    ],
)
def test_ids_of_tokens(settings: dict, shape: tuple, tokens: list, tmp_path: Path) -> None:
    tokenizer = Tokenizer(TOKENS, split="none", **settings)
    session = embedded(ids_out(tokenizer, shape), tmp_path / "m.onnx")
    array = np.array(tokens, object)
    for given in (array, array[:0]):
        (ids,) = session.run([given])
        np.testing.assert_array_equal(ids[..., 0], tokenizer.encode_batch(given))


@pytest.mark.sweep
def test_one_input_of_texts_for_two_of_ids(tmp_path: Path) -> None:
    """And the file proves itself on texts; without the tokenisers in it, it carries them."""
    wide = Tokenizer(("a", "b"), ngrams=(1, 2), source="text")
    graph = ids_out(Tokenizer(TOKENS), ("N", "T"), again=wide)
    export.write(graph, tmp_path / "texts.onnx", embed_tokenizer=True)
    export.write(graph, tmp_path / "ids.onnx")
    texts, ids = (export.Session(tmp_path / name) for name in ("texts.onnx", "ids.onnx"))
    assert [value.name for value in texts.input_values] == ["text"]
    assert ids.tokenizers == graph.tokenizers
    for one, two in zip(texts.run([TEXTS]), ids.run({"text": TEXTS}), strict=True):
        np.testing.assert_array_equal(one, two)
    assert verify(graph, texts).ok
    assert verify(ids_out(Tokenizer(TOKENS[::-1]), ("N", "T"), again=wide), texts).ok is False


def test_a_corpus_of_texts(tmp_path: Path) -> None:
    """Rows of other lengths do not meet where the model sees padding; steps are those of its tokens."""
    graph = ids_out(Tokenizer(TOKENS), ("N", "T"))
    export.write(graph, tmp_path / "ids.onnx", vectors=False)
    session = embedded(graph, tmp_path / "texts.onnx")
    rows = ["good movie", "bad ...", "a b c d e", "..."]
    expected = [[[2.0], [4.0]], [[3.0]], [[1.0]] * 5]
    for predicted in (session.predict(rows[:3]), export.Session(tmp_path / "ids.onnx").predict(rows[:3])):
        assert [steps.tolist() for (steps,) in predicted] == expected


@pytest.mark.parametrize(
    "settings, message", [({"split": "character"}, "split='character'"), ({"unknown_id": None}, "num_oov")]
)
def test_what_onnx_has_no_operators_for(settings: dict[str, Any], message: str, tmp_path: Path) -> None:
    graph = ids_out(Tokenizer(TOKENS, **settings), ("N", "T"))
    with pytest.raises(UnsupportedError, match=message):
        export.write(graph, tmp_path / "m.onnx", embed_tokenizer=True)
    with pytest.raises(InputError, match="tokeniser of its own"):
        export.write(graph, tmp_path / "m.onnx", vocabulary=Vocabulary(("<pad>", "<unk>", "good")))
