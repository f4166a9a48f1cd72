"""Whether a file that takes strings gives what the same model gives of their ids."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from biport.data.vocabulary import UNK_ID
from biport.data.whitespace import SEPARATORS, whitespace_ids
from export.session import Session

ODD = ("", "  ", "\t \n", "<pad> <unk>", "never-heard-of A\u00a0b", " \u00c9\u00e9 a\tb\r\nc ")


def same_numbers(texts: Path, ids: Path, count: int = 24, seed: int = 0) -> bool:
    """Run both over odd texts and ``count`` random ones of the vocabulary: equal bit for bit?"""
    one, two = Session(texts, device="cpu", threads=1), Session(ids, device="cpu", threads=1)
    vocabulary = two.vocabulary
    assert vocabulary is not None
    rng = np.random.default_rng(seed)
    known = [token for token in vocabulary.tokens[UNK_ID + 1 :] if token.isascii()] or ["a"]
    corpus: list[str] = list(ODD)
    for length in rng.integers(1, 30, count):
        words = rng.choice(known, length)
        corpus.append("".join(f"{word}{rng.choice(SEPARATORS)}" for word in words))
    rows = [whitespace_ids(vocabulary, text) for text in corpus]
    table = np.zeros((len(rows), max(map(len, rows))), "int64")
    for line, row in zip(table, rows, strict=True):
        line[: len(row)] = row
    outputs = one.run([np.array(corpus, object)]), two.run([table])
    return all(np.array_equal(a, b, equal_nan=True) for a, b in zip(*outputs, strict=True))
