"""Texts to ids in a folder of plain PyTorch: what `biport.text.Tokenizer` gives, without biport."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import torch_side
from biport.graph import Graph, Node, Value
from biport.ops import Embedding
from biport.text import Tokenizer
from biport.text.inputs import to_data
from biport.text.samples import ODD, sample_texts
from torch_side.recipient import encode

TOKENS = ("good", "bad", "good bad", "\u00e9", "x", "o")
SETTINGS: list[dict[str, Any]] = [
    {},
    {"standardize": "lower", "ngrams": (2, 1), "length": 3},
    {"standardize": "strip_punctuation", "split": "character", "padding_id": 7},
    {"standardize": "none", "mask_token": None, "length": 4},
    {
        "standardize": "unicode_lower",
        "filters": "!?",
        "split": "separator",
        "separator": " ",
        "unknown_id": None,
        "unknown": "drop",
        "padding": "pre",
        "truncating": "pre",
        "length": 2,
    },
    {
        "split": "words_and_marks",
        "normalizers": ("nfd", "lower", "strip_accents"),
        "added": ("o",),
        "start": 9,
        "end": 8,
        "max_length": 4,
        "ids": (3, 5, 7, 11, 12, 13),
    },
    {"split": "words", "standardize": "none", "padding": "pre"},
    {"split": "unicode_whitespace"},
    {"split": "white_space_property"},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_ids_of_texts(settings: dict[str, Any], tmp_path: Path) -> None:
    tokenizer = Tokenizer(TOKENS, **settings)
    (tmp_path / "tokenizers.json").write_text(json.dumps(to_data({"text": tokenizer})), encoding="utf-8")
    texts = [*ODD, *sample_texts(tokenizer, 4, 6)]
    np.testing.assert_array_equal(encode(texts, folder=tmp_path), tokenizer.encode_batch(texts))
    np.testing.assert_array_equal(encode([], folder=tmp_path), tokenizer.encode_batch([]))


@pytest.mark.parametrize("settings", SETTINGS[4:], ids=str)
def test_a_folder_gives_them_without_biport(settings: dict[str, Any], tmp_path: Path) -> None:
    tokenizer = Tokenizer(TOKENS, **settings)
    table = Embedding(num_embeddings=20, embedding_dim=2, weight=np.ones((20, 2), "float32"))
    graph = Graph((Value("ids", ("N", "T"), "int64"),), (Node("y", table, ("ids",)),), ("y",))
    folder = torch_side.write_folder(graph, tmp_path / "m", vocabulary=tokenizer)
    source = (folder / "model.py").read_text()
    assert not re.search(r"\b(import|from) (biport|torch_side)", source)
    written: dict[str, Any] = {"__file__": str(folder / "model.py"), "__name__": "model"}
    exec(compile(source, "model.py", "exec"), written)
    texts = [*ODD, *sample_texts(tokenizer, 4, 6)]
    np.testing.assert_array_equal(written["encode"](texts), tokenizer.encode_batch(texts))


def test_ids_of_tokens(tmp_path: Path) -> None:
    every = {
        name: Tokenizer(TOKENS, split="none", ngrams=ngrams) for name, ngrams in (("a", ()), ("b", (2,)))
    }
    (tmp_path / "tokenizers.json").write_text(json.dumps(to_data(every)), encoding="utf-8")
    for name, tokens in (("a", ["Good", "", "?"]), ("a", [["good", ""]]), ("b", [["good", "bad", "x"]])):
        np.testing.assert_array_equal(encode(tokens, name, tmp_path), every[name].encode_batch(tokens))
