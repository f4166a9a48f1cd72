"""Odd texts and random ones of a vocabulary, for files that take strings."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from biport.compare.check_vectors import CheckVectors, of_cases
from biport.compare.text_cases import text_cases
from biport.data.vocabulary import UNK_ID, Vocabulary
from biport.data.whitespace import SEPARATORS, whitespace_ids
from biport.graph import Graph
from biport.text.inputs import source_names

ODD: Sequence[str] = ("", "  ", "\t \n", "<pad> <unk>", "never-heard-of A\u00a0b", " \u00c9\u00e9 a\tb\r\nc ")


def sample_texts(vocabulary: Vocabulary, count: int, longest: int, seed: int = 0) -> list[str]:
    """`ODD` and ``count`` others, of up to ``longest`` words that the vocabulary has."""
    rng = np.random.default_rng(seed)
    known = [token for token in vocabulary.tokens[UNK_ID + 1 :] if token.isascii()] or ["a"]
    texts = list(ODD)
    for length in rng.integers(1, longest + 1, count):
        words = rng.choice(known, length)
        texts.append("".join(f"{word}{rng.choice(SEPARATORS)}" for word in words))
    return texts


def padded_ids(vocabulary: Vocabulary, texts: list[str]) -> np.ndarray:
    """Their ids by `whitespace_ids`, ``(N, T)`` int64, padded with 0 on the right."""
    rows = [whitespace_ids(vocabulary, text) for text in texts]
    table = np.zeros((len(rows), max(map(len, rows))), "int64")
    for line, row in zip(table, rows, strict=True):
        line[: len(row)] = row
    return table


def text_vectors(graph: Graph, vocabulary: Vocabulary, name: str, digest: str) -> CheckVectors:
    """Check vectors of texts, ``(N,)``: the oracle is given their ids.

    Args:
        graph: the model, of ids.
        vocabulary: what they stand for.
        name: of the input that takes the texts.
        digest: of the graph.
    """
    batches = {"texts": sample_texts(vocabulary, 4, 6), "one text": ["a"]}
    ids = {case: [padded_ids(vocabulary, texts)] for case, texts in batches.items()}
    texts = {case: [np.array(batch)] for case, batch in batches.items()}
    return _of_texts(of_cases(graph, ids, digest), [name], texts)


def own_text_vectors(graph: Graph, digest: str) -> CheckVectors:
    """The same of a model with tokenisers of its own, `text_cases` of every input.

    A file of arrays has texts of one width, filled up with zeros: texts that end in zeros are left out.
    """
    texts, ids = text_cases(graph)
    wide = {
        case: [np.array(part.tolist()) if part.dtype == object else part for part in arrays]
        for case, arrays in texts.items()
    }
    names = source_names([value.name for value in graph.inputs], graph.tokenizers)
    return _of_texts(of_cases(graph, ids, digest), names, wide)


def _of_texts(
    vectors: CheckVectors, names: Sequence[str], texts: Mapping[str, Sequence[np.ndarray]]
) -> CheckVectors:
    """Check vectors of ids with texts in their place."""
    cases = {
        case: dataclasses.replace(batch, inputs=list(texts[case])) for case, batch in vectors.cases.items()
    }
    return dataclasses.replace(vectors, inputs=tuple(names), cases=cases)
