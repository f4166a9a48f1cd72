"""Texts to ids, as Keras' layers have it; `tests/keras_side/test_tokenizers.py` compares it with theirs."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from biport.errors import FileError, InputError
from biport.graph import Graph, Node, Value
from biport.ops import Embedding
from biport.text import Tokenizer

TOKENS = ("good", "bad", "a b")


CASES: list[tuple[dict[str, Any], list[int]]] = [
    ({}, [2, 3, 1]),
    ({"length": 2}, [2, 3]),
    ({"length": 5, "padding_id": 9}, [2, 3, 1, 9, 9]),
    ({"standardize": "none"}, [1, 1, 1]),
    ({"standardize": "lower"}, [2, 1, 1]),
    ({"standardize": "strip_punctuation"}, [1, 1, 1]),
    ({"ngrams": (2, 1), "first_id": 1, "unknown_id": 0}, [0, 0, 1, 2, 0]),
]


@pytest.mark.parametrize("settings, ids", CASES, ids=str)
def test_ids_of_texts(settings: dict[str, Any], ids: list[int]) -> None:
    tokenizer = Tokenizer(TOKENS, **settings)
    assert tokenizer.encode("GOOD\t\vBad! x\u00a0y") == ids
    none = [tokenizer.padding_id] * (tokenizer.length or 0)
    assert tokenizer.encode(" \n") == none
    batch = tokenizer.encode_batch(["", "GOOD\t\vBad! x\u00a0y"])
    assert batch.tolist() == [[tokenizer.padding_id] * len(ids), ids]
    assert tokenizer.encode_batch(["", " "]).shape == (2, tokenizer.length or 0)


def test_what_is_looked_up() -> None:
    assert Tokenizer(TOKENS, ngrams=(2, 1)).split_text("a b c") == ["a b", "b c", "a", "b", "c"]
    characters = Tokenizer(TOKENS, split="character", standardize="none")
    assert characters.split_text("a\u0301 b") == [*"a\u0301 b"]


def test_tokens_that_are_divided_already() -> None:
    tokenizer = Tokenizer(TOKENS, standardize="none", split="none")
    np.testing.assert_array_equal(tokenizer.encode_batch(["good", "", "a b"]), [2, 0, 4])
    np.testing.assert_array_equal(tokenizer.encode_batch([["good", "x"], ["", "a b"]]), [[2, 1], [0, 4]])
    joined = Tokenizer(TOKENS, standardize="none", split="none", ngrams=(2,))
    np.testing.assert_array_equal(joined.encode_batch([["a", "b", "c"]]), [[4, 1]])
    assert joined.encode_batch(np.empty((0, 3), object)).shape == (0, 2)


def test_it_comes_back_from_a_file() -> None:
    one = Tokenizer(("a\n", "\u2028", '"'), ngrams=(2, 1), length=4, mask_token=None, source="review")
    two = Tokenizer.from_data(json.loads(json.dumps(one.to_data())), "tokenizer.json")
    assert (one, one.source) == (two, two.source)
    for content in (
        None,
        {"format": "biport-tokenizer-2"},
        {**one.to_data(), "tokens": "abc"},
        {**one.to_data(), "split": "word"},
        {**one.to_data(), "more": 1},
        {**one.to_data(), "first_id": True},
    ):
        with pytest.raises(FileError, match=r"tokenizer\.json"):
            Tokenizer.from_data(content, "tokenizer.json")


def test_what_is_refused() -> None:
    refused: list[dict[str, Any]] = [
        {"tokens": ("a", "a")},
        {"tokens": ("a", "")},
        {"tokens": ("a", 1)},
        {"length": 0},
        {"ngrams": (0,)},
        {"standardize": "upper"},
    ]
    for settings in refused:
        with pytest.raises(InputError):
            Tokenizer(**{"tokens": TOKENS, **settings})
    tokenizer = Tokenizer(TOKENS, unknown_id=None)
    for texts in ("good", ["x"], ["\ud800"], [1], [["a", "b"]]):
        with pytest.raises(InputError):
            tokenizer.encode_batch(texts)


def test_a_graph_keeps_its_tokenizers() -> None:
    table = Embedding(num_embeddings=5, embedding_dim=2, weight=np.ones((5, 2), "float32"))
    inputs, nodes = (Value("text", ("N", "T"), "int64"),), (Node("y", table, ("text",)),)
    graph = Graph(inputs, nodes, ("y",), {}, {"text": Tokenizer(TOKENS)})
    assert graph.astype("float64").at({"T": 3}).tokenizers == graph.tokenizers
    assert graph == Graph(inputs, nodes, ("y",))
