"""Texts to ids in a folder of plain PyTorch: what `biport.text.Tokenizer` gives, without biport."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

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
]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_ids_of_texts(settings: dict[str, Any], tmp_path: Path) -> None:
    tokenizer = Tokenizer(TOKENS, **settings)
    (tmp_path / "tokenizers.json").write_text(json.dumps(to_data({"text": tokenizer})), encoding="utf-8")
    texts = [*ODD, *sample_texts(tokenizer, 4, 6)]
    np.testing.assert_array_equal(encode(texts, folder=tmp_path), tokenizer.encode_batch(texts))
    np.testing.assert_array_equal(encode([], folder=tmp_path), tokenizer.encode_batch([]))


def test_ids_of_tokens(tmp_path: Path) -> None:
    every = {
        name: Tokenizer(TOKENS, split="none", ngrams=ngrams) for name, ngrams in (("a", ()), ("b", (2,)))
    }
    (tmp_path / "tokenizers.json").write_text(json.dumps(to_data(every)), encoding="utf-8")
    for name, tokens in (("a", ["Good", "", "?"]), ("a", [["good", ""]]), ("b", [["good", "bad", "x"]])):
        np.testing.assert_array_equal(encode(tokens, name, tmp_path), every[name].encode_batch(tokens))
