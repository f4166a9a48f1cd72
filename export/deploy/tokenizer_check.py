"""Whether a file that takes strings gives what the same model gives of their ids."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from biport.data.vocabulary import Vocabulary
from export.session import Session
from export.text.sample_texts import padded_ids, sample_texts


def same_numbers(texts: Path, ids: Path, vocabulary: Vocabulary, count: int = 24, seed: int = 0) -> bool:
    """Run both over odd texts and ``count`` random ones of the vocabulary: equal bit for bit?"""
    one, two = Session(texts, device="cpu", threads=1), Session(ids, device="cpu", threads=1)
    corpus = sample_texts(vocabulary, count, 29, seed)
    outputs = one.run([np.array(corpus, object)]), two.run([padded_ids(vocabulary, corpus)])
    return all(np.array_equal(a, b, equal_nan=True) for a, b in zip(*outputs, strict=True))
