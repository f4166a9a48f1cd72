"""A tokeniser from whatever file it was saved in."""

from __future__ import annotations

import dataclasses
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from biport.errors import Argument, FileError, InputError, UnsupportedError
from biport.file_kind import FileKind, file_kind, foreign
from biport.json_file import parse_json
from biport.text.biport_file import is_biport, of_biport
from biport.text.hugging_face_file import is_hugging_face, of_tokenizers
from biport.text.keras_file import is_keras, of_config, of_pickle
from biport.text.standardize import Standardize
from biport.text.token_list import is_text_vectorization, lines, listed, of_text_vectorization, of_tokens
from biport.text.tokenizer import Split, Tokenizer

LARGEST_FILE = 2**30
"""Bytes: more than any vocabulary."""
DEEPEST = 3
"""How often JSON may be a text with JSON in it."""

_SAYS_ALL: tuple[tuple[str, Callable[[Any], bool], Callable[[Any, str], Tokenizer]], ...] = (
    ("biport", is_biport, of_biport),
    ("Keras", is_keras, of_config),
    ("Hugging Face", is_hugging_face, of_tokenizers),
)
"""Formats that say how texts are divided: whose they are, how they are known and read."""


def read_tokenizer(
    path: str | os.PathLike[str],
    *,
    standardize: Standardize | None = None,
    split: Split | None = None,
    padding_id: int | None = None,
) -> Tokenizer:
    """The tokeniser in a file; nothing in it is run.

    Args:
        path: a ``vocabulary.json`` or ``tokenizers.json`` of biport; what Keras' ``Tokenizer.to_json`` gave,
            as it is or once more as JSON, or a pickle of one; the vocabulary of a ``TextVectorization``, as
            its ``vocabulary.txt`` or as a list in JSON; a ``tokenizer.json`` of Hugging Face's
            ``tokenizers``, of word level; tokens and ids as ``itos`` or ``stoi`` in JSON or a pickle; or a
            ``vocab.txt``, a token a line.
        standardize: what is done to texts, for a file that has tokens alone.
        split: how they are divided then.
        padding_id: what rows are padded with, in place of what the file says.

    Raises:
        FileError: it is none of these, or malformed.
        UnsupportedError: a setting that changes ids is none that biport knows; the setting is named.
        InputError: a file of tokens alone, and nobody says how texts are divided; or one that says it
            itself.

    Example:
        >>> import json, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "itos.json"
        ...     _ = path.write_text(json.dumps(["<pad>", "<unk>", "good"]))
        ...     read_tokenizer(path, standardize="lower", split="whitespace").encode("GOOD one")
        [2, 1]
    """
    path, owner = Path(path), os.fspath(path)
    content = _content(path, owner)
    for whose, matches, read in _SAYS_ALL:
        if matches(content):
            if standardize is not None or split is not None:
                raise InputError(
                    Argument("standardize", standardize),
                    ", ",
                    Argument("split", split),
                    f": {owner}, of {whose}, says itself how texts are divided",
                )
            return _padded_with(padding_id, read(content, owner))
    tokens = listed(content, owner)
    if isinstance(tokens, list) and is_text_vectorization(tokens):
        return _padded_with(padding_id, of_text_vectorization(tokens, owner, standardize, split))
    if isinstance(tokens, list):
        repeated = [token for token, count in Counter(tokens).items() if count > 1]
        if repeated:
            raise FileError(f"{owner}: token {repeated[0]!r} is there more than once")
        tokens = {token: number for number, token in enumerate(tokens)}
    if tokens is None:
        raise FileError(
            f"{owner}: no tokenizer that biport knows: of Keras' Tokenizer, Hugging Face's tokenizers, "
            "itos or stoi, or a token a line"
        )
    if any(token.startswith("##") and len(token) > 2 for token in tokens):
        raise UnsupportedError(owner, "tokens", "pieces of words (##...)", "whole words, or characters")
    return of_tokens(tokens, owner, standardize, split, padding_id)


def _padded_with(padding_id: int | None, tokenizer: Tokenizer) -> Tokenizer:
    return tokenizer if padding_id is None else dataclasses.replace(tokenizer, padding_id=padding_id)


def _content(path: Path, owner: str) -> Any:
    """What JSON or a pickle has, or the lines of a text."""
    try:
        kind = file_kind(path)
        if path.stat().st_size > LARGEST_FILE:
            raise FileError(f"{owner}: is larger than {LARGEST_FILE:,} bytes, expected a vocabulary")
        data = b"" if path.is_dir() else path.read_bytes()
    except OSError as error:
        raise FileError(f"{owner}: cannot be read: {error.strerror}") from error
    if kind is FileKind.PICKLE:
        return of_pickle(data, owner)
    if path.suffix != ".txt" and (path.suffix == ".json" or data.lstrip()[:1] in (b"{", b"[", b'"')):
        content: Any = data
        for _ in range(DEEPEST):
            if not isinstance(content, str | bytes):
                break
            content = parse_json(content, owner)
        return content
    if kind in (FileKind.TEXT, FileKind.UNKNOWN, FileKind.JSON) or path.suffix == ".txt":
        return lines(data, owner)
    raise foreign(path, "a tokenizer or a vocabulary")
