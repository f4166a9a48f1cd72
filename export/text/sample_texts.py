"""Check vectors of files that take texts."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from biport.compare.check_vectors import CheckVectors, of_cases
from biport.compare.text_cases import text_cases
from biport.graph import Graph
from biport.text.characters import Characters
from biport.text.inputs import source_names


def text_vectors(graph: Graph, digest: str, characters: Mapping[str, Characters]) -> CheckVectors:
    """The texts of `text_cases` for every input, and what the oracle gives of their ids.

    A file of arrays has texts of one width, filled up with zeros: texts that end in zeros are left out.

    Args:
        graph: the model, of ids, with its tokenisers.
        digest: of the graph.
        characters: by inputs of texts, those of which the file takes them, where it does not take all.
    """
    texts, ids = text_cases(graph, characters=characters)
    vectors = of_cases(graph, ids, digest)
    names = source_names([value.name for value in graph.inputs], graph.tokenizers)
    cases = {
        case: dataclasses.replace(batch, inputs=[_storable(part) for part in texts[case]])
        for case, batch in vectors.cases.items()
    }
    return dataclasses.replace(vectors, inputs=tuple(names), cases=cases)


def _storable(texts: np.ndarray) -> np.ndarray:
    return np.array(texts.tolist()) if texts.dtype == object else texts
