"""Words numbered by how frequent they are, as Keras numbers those of its film reviews.

Ids: 0 is padding, 1 starts every text, 2 is any other word, 3 is not used, and 4 is the most frequent word.

Source: ``keras.datasets.imdb.load_data``, whose defaults are ``start_char=1, oov_char=2, index_from=3``.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from biport.data.padding import pad
from biport.data.vocabulary import several
from biport.data.vocabulary import words as words_of
from biport.errors import Argument, FileError, InputError
from biport.file_kind import FileKind, file_kind, foreign
from biport.json_file import read_json, write_json

START_ID, OOV_ID, INDEX_FROM = 1, 2, 3


@dataclass(frozen=True)
class WordIndex:
    """The words of a corpus and how many ids a model has for them.

    Args:
        words: all different, the most frequent first.
        num_words: V: ids are below it, so that the first ``num_words - 4`` words have one.

    Raises:
        InputError: for words that repeat, or a ``num_words`` below 4.
    """

    words: tuple[str, ...]
    num_words: int

    def __post_init__(self) -> None:
        check_num_words(self.num_words)
        if len(set(self.words)) < len(self.words):
            raise InputError("A word index cannot be made of words that repeat.")

    @classmethod
    def fit(cls, texts: Iterable[str], num_words: int) -> WordIndex:
        """Collect the words of ``texts``, the most frequent first, ties in alphabetical order.

        Raises:
            InputError: for one text instead of several, or a ``num_words`` below 4.
        """
        check_num_words(num_words)
        counts = Counter(word for text in several(texts) for word in words_of(text))
        return cls(tuple(sorted(counts, key=lambda word: (-counts[word], word))), num_words)

    @cached_property
    def _ids(self) -> dict[str, int]:
        first = INDEX_FROM + 1
        kept = self.words[: max(0, self.num_words - first)]
        return {word: number for number, word in enumerate(kept, start=first)}

    def encode(self, text: str) -> list[int]:
        """1, then the id of every word of ``text``, 2 for those without one; marks are left out."""
        return [START_ID, *(self._ids.get(word, OOV_ID) for word in words_of(text))]

    def encode_batch(self, texts: Iterable[str], length: int | None = None) -> NDArray[np.int32]:
        """Ids of shape (N, T), padded and cut in front, as ``keras.utils.pad_sequences`` does by default.

        Args:
            texts: N texts.
            length: T; ``None`` for that of the longest text.

        Raises:
            InputError: for one text instead of several, or a length below 1.
        """
        return pad([self.encode(text) for text in several(texts)], length, "left", "left")

    def decode(self, ids: Iterable[int]) -> str:
        """The words of ``ids``, of shape (T,), joined with spaces, ``?`` for 2; 0, 1 and 3 are left out.

        Raises:
            InputError: for an id that no word has.
        """
        words = []
        for number in map(int, ids):
            rank = number - INDEX_FROM - 1
            if number == OOV_ID:
                words.append("?")
            elif 0 <= rank < len(self.words):
                words.append(self.words[rank])
            elif not 0 <= number <= INDEX_FROM:
                raise InputError(f"id {number} is of no word; there are {len(self.words)} words.")
        return " ".join(words)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write all words as Keras does, each with its rank from 1; ``num_words`` is not written.

        Raises:
            FileError: when the folder cannot be written to.
        """
        write_json(path, {word: rank for rank, word in enumerate(self.words, start=1)})

    @classmethod
    def load(cls, path: str | os.PathLike[str], num_words: int) -> WordIndex:
        """Read what `save` wrote, or Keras' own ``imdb_word_index.json``.

        Raises:
            FileError: naming the file and what is wrong with it.
            InputError: for a ``num_words`` below 4.
        """
        ranks: Any = read_json(path)
        if not isinstance(ranks, dict) or not all(type(rank) is int for rank in ranks.values()):
            if file_kind(path) is not FileKind.JSON:
                raise foreign(path, "a word index")
            raise FileError(f"{os.fspath(path)}: expected words with their ranks, found something else.")
        words = sorted(ranks, key=lambda word: ranks[word])
        if [ranks[word] for word in words] != list(range(1, len(words) + 1)):
            raise FileError(f"{os.fspath(path)}: expected the ranks from 1 to {len(words)}, each once.")
        return cls(tuple(words), num_words)


def check_num_words(num_words: int) -> None:
    """Refuse a number of ids that has no room for the special ones.

    Raises:
        InputError: it is below 4.
    """
    if num_words < INDEX_FROM + 1:
        raise InputError(
            Argument("num_words", num_words), f": the ids that are no words alone need {INDEX_FROM + 1}."
        )
