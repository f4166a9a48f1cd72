"""Inputs for a model that was read from one of texts: the texts, and the ids that they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from biport.analysis.lengths import needed_steps
from biport.compare.cases import padding_values, random_inputs
from biport.errors import InputError
from biport.graph import Graph
from biport.inputs import safe_bounds
from biport.text.characters import Characters, refused
from biport.text.inputs import source_names, with_ids
from biport.text.samples import ODD, sample_texts, sample_tokens
from biport.text.tokenizer import Tokenizer

SHORT, LONG = 9, 60
"""The tokens of the longest text of a case."""

Cases = Mapping[str, Sequence[np.ndarray]]


def text_cases(
    graph: Graph, seed: int = 0, characters: Mapping[str, Characters] | None = None
) -> tuple[Cases, Cases]:
    """Texts for every input that a tokeniser reads, and random numbers for the others; and the same as ids.

    Args:
        graph: the model.
        seed: of the choice.
        characters: by inputs of texts, those of which they may be; all others are left out of them.

    Returns:
        By case, an array for each input of the model of texts; and for each of the graph.

    Raises:
        InputError: no text is long enough for the model.
    """
    least = max([*(least.size for least in needed_steps(graph).values()), 1])
    texts: dict[str, list[np.ndarray]] = {}
    for number, (case, odd, count, longest) in enumerate(
        (
            ("texts", False, 6, max(SHORT, least)),
            ("odd texts", True, 2, max(SHORT, least)),
            ("one text", False, 1, max(1, least)),
            ("long texts", False, 3, max(LONG, least)),
        )
    ):
        texts[case] = text_batch(graph, odd, count, longest, seed + number, characters)
    names = [value.name for value in graph.inputs]
    return texts, {case: with_ids(names, graph.tokenizers, arrays) for case, arrays in texts.items()}


def text_batch(
    graph: Graph,
    odd: bool,
    count: int,
    longest: int,
    seed: int,
    characters: Mapping[str, Characters] | None = None,
) -> list[np.ndarray]:
    """Texts for every input that a tokeniser reads, and random numbers for the others.

    Args:
        graph: the model.
        odd: with odd texts as well.
        count: of the others.
        longest: how many tokens the longest has.
        seed: of what is random.
        characters: by inputs of texts those that they may have, where it is not all.
    """
    characters = characters or {}
    values = {value.name: value for value in graph.inputs}
    N = count + (len(ODD) if odd else 0)
    others = [value for value in graph.inputs if value.name not in graph.tokenizers]
    settings: dict[str, Any] = {"id_bounds": safe_bounds(graph), "padding": padding_values(graph)}
    numbers = random_inputs(others, N, longest, np.random.default_rng(seed), **settings) if others else []
    given = dict(zip((value.name for value in others), numbers, strict=True))
    for name, tokenizer in graph.tokenizers.items():
        if tokenizer.source not in given:
            texts = _texts(tokenizer, values[name].shape, N, odd, longest, seed)
            known = characters.get(tokenizer.source)
            given[tokenizer.source] = texts if known is None else _of(known, texts)
    return [given[name] for name in source_names([*values], graph.tokenizers)]


def _texts(
    tokenizer: Tokenizer, shape: Sequence[Any], N: int, odd: bool, longest: int, seed: int
) -> np.ndarray:
    if tokenizer.split == "none":
        steps = [_steps(tokenizer, dim, longest) for dim in shape[1:]]
        return sample_tokens(tokenizer, (N, *steps), seed)
    count = N - len(ODD) if odd and tokenizer.unknown_id is not None else N
    texts = sample_texts(tokenizer, count, longest, seed)
    array = np.empty(N, object)
    array[:] = [*texts, *ODD][:N]
    return array


def _of(characters: Characters, texts: np.ndarray) -> np.ndarray:
    """The texts without all other characters."""
    kept = np.empty(texts.shape, object)
    for index, text in np.ndenumerate(texts):
        kept[index] = text.translate(dict.fromkeys(map(ord, refused(characters, text))))
    return kept


def _steps(tokenizer: Tokenizer, dim: Any, longest: int) -> int:
    """How many tokens a row has of which ``dim`` ids are made."""
    if not isinstance(dim, int) or tokenizer.length is not None:
        return longest
    for steps in range(1, LONG + dim):
        if tokenizer.width(steps) == dim:
            return steps
    raise InputError(f"no rows of tokens have {dim} ids")
