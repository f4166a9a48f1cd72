"""What biport itself writes: ``vocabulary.json`` of what it has fitted, ``tokenizers.json`` of a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from biport.errors import FileError
from biport.text.fitted import FORMAT as VOCABULARY
from biport.text.fitted import problem_with, tokenizer_of
from biport.text.tokenizer import FORMAT, Tokenizer


def is_biport(content: Any) -> bool:
    """Whether JSON is what biport writes of tokens."""
    if not isinstance(content, Mapping):
        return False
    parts = [content, *content.values()]
    formats = {part.get("format") for part in parts if isinstance(part, Mapping)}
    return not {VOCABULARY, FORMAT}.isdisjoint(formats)


def of_biport(content: Mapping[str, Any], owner: str) -> Tokenizer:
    """The tokeniser that a file has.

    Raises:
        FileError: it is malformed, or has several.
    """
    if content.get("format") == FORMAT:
        return Tokenizer.from_data(content, owner)
    if "format" not in content:
        if len(content) != 1:
            raise FileError(f"{owner}: has tokenizers of {', '.join(map(str, content))}, expected one")
        return Tokenizer.from_data(next(iter(content.values())), owner)
    # The first files said nothing of a unit.
    tokens, unit = content.get("tokens"), content.get("unit", "word")
    problem = problem_with(tuple(tokens), unit) if isinstance(tokens, list) else "tokens is not a list"
    if problem:
        raise FileError(f"{owner}: not a valid vocabulary: {problem}.")
    return tokenizer_of(content["tokens"], unit)
