"""Why a file that makes ids of texts itself gives an error for some of them, in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from biport.errors import InputError, shortened
from biport.text.characters import Characters, refused
from biport.text.tokenizer import Tokenizer

CHARACTERS = "characters that are refused"
UNKNOWN = "unknown tokens that are refused"
"""In the names of the nodes that give the error."""


def check_characters(name: str, characters: Characters | None, texts: Iterable[Any]) -> None:
    """Refuse texts with a character that the file does not take.

    Args:
        name: of the input.
        characters: those that it takes; ``None`` for all.
        texts: what is given.

    Raises:
        InputError: naming the first one, and the text.
    """
    if characters is None:
        return
    for text in texts:
        if (other := next(refused(characters, text), None)) is not None:
            raise InputError(
                f"input {name!r}: {other!r} in {shortened(text)} is a character that ONNX's operators have "
                "no tables for, and the file refuses it; a file of ids, without the tokeniser, takes all"
            )


def explain(
    message: str,
    feed: Mapping[str, np.ndarray],
    characters: Mapping[str, Characters],
    tokenizers: Mapping[str, Tokenizer],
    needed: Mapping[str, int],
) -> None:
    """Say in words what an error of onnxruntime is about, where it is one of these.

    Args:
        message: of the error, which names the node.
        feed: what the file was given.
        characters: by inputs of texts those that it takes.
        tokenizers: by the ids that are made of those inputs.
        needed: by the same how many steps the model needs.

    Raises:
        InputError: it is.
    """
    if f"/{CHARACTERS}/" in message:
        for name, known in characters.items():
            check_characters(name, known, feed[name].ravel())
    if f"/{UNKNOWN}/" in message:
        for tokenizer in tokenizers.values():
            if tokenizer.source in feed:
                tokenizer.encode_batch(feed[tokenizer.source])
    for name, least in needed.items():
        steps = tokenizers[name].encode_batch(feed[tokenizers[name].source]).shape[1]
        if steps < least:
            raise InputError(
                f"input {name!r}: the texts have {steps} tokens, and the model needs {least} or more"
            )
