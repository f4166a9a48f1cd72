"""Inputs of a model that begins with ids, where texts may be given in place of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from biport.errors import FileError
from biport.text.tokenizer import Tokenizer

Tokenizers = Mapping[str, Tokenizer]
"""By the names of inputs of ids."""


def source_names(names: Sequence[str], tokenizers: Tokenizers) -> list[str]:
    """The inputs of the model that a graph was read from: texts where that has ids, each of them once.

    Example:
        >>> one = Tokenizer(("good", "bad"), source="review")
        >>> source_names(["review", "review.counts", "stars"], {"review": one, "review.counts": one})
        ['review', 'stars']
    """
    return list(dict.fromkeys(of for _, of in _sources(names, tokenizers)))


def with_ids(names: Sequence[str], tokenizers: Tokenizers, inputs: Any) -> Any:
    """The inputs with ids in place of texts; what has no texts is given back as it is.

    Args:
        names: of the inputs of ids and whatever else there is, in order.
        tokenizers: what makes ids of texts.
        inputs: arrays, or lists of texts, in order or by name: those of the model of ids, or those of the
            model of texts, see `source_names`.

    Raises:
        InputError: a text that cannot be encoded, see `Tokenizer.encode_batch`.

    Example:
        >>> one = Tokenizer(("good", "bad"), source="review", length=2)
        >>> with_ids(["review"], {"review": one}, [["Good!", "so bad"]])[0].tolist()
        [[2, 0], [1, 3]]
    """
    if not tokenizers or isinstance(inputs, np.ndarray):
        return inputs
    sources = source_names(names, tokenizers)
    if isinstance(inputs, Mapping):
        if sorted(inputs) != sorted(sources):
            return {name: _ids(tokenizers.get(name), part) for name, part in inputs.items()}
        return {name: _ids(tokenizers.get(name), inputs[of]) for name, of in _sources(names, tokenizers)}
    given = list(inputs)
    if len(given) == len(sources):
        by_source = dict(zip(sources, given, strict=True))
        given = [by_source[of] for _, of in _sources(names, tokenizers)]
    if len(given) != len(names):
        return given
    return [_ids(tokenizers.get(name), part) for name, part in zip(names, given, strict=True)]


def _sources(names: Sequence[str], tokenizers: Tokenizers) -> list[tuple[str, str]]:
    """The inputs of a graph, and what each is of."""
    return [(name, tokenizers[name].source if name in tokenizers else name) for name in names]


def has_texts(inputs: Any) -> bool:
    """Whether one of the inputs is texts, in order or by name.

    Example:
        >>> has_texts({"review": ["good"], "stars": [[1.0]]}), has_texts([[[1, 2]]])
        (True, False)
    """
    return any(map(_is_text, inputs.values() if isinstance(inputs, Mapping) else inputs))


def _ids(tokenizer: Tokenizer | None, given: Any) -> Any:
    """The ids of what is texts; anything else as it is."""
    if tokenizer is None or not _is_text(given):
        return given
    return tokenizer.encode_batch(given)


def _is_text(given: Any) -> bool:
    if isinstance(given, np.ndarray):
        return given.dtype.kind == "U" or (given.dtype.kind == "O" and _is_text(given.ravel().tolist()))
    if not isinstance(given, list | tuple) or not given:
        return False
    return isinstance(given[0], str) or _is_text(given[0])


def to_data(tokenizers: Tokenizers) -> dict[str, Any]:
    """Tokenisers as plain data."""
    return {name: tokenizer.to_data() for name, tokenizer in tokenizers.items()}


def from_data(content: Any, owner: str) -> dict[str, Tokenizer]:
    """What `to_data` gave; ``owner`` is where it is from, for messages.

    Raises:
        FileError: it is something else.
    """
    if not isinstance(content, Mapping):
        raise FileError(f"{owner}: should hold a tokeniser for each input of ids")
    return {str(name): Tokenizer.from_data(one, f"{owner}: {name}") for name, one in content.items()}
