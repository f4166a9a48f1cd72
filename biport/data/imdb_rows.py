"""The film reviews of IMDB as rows of word ids, from whatever form of them is at hand."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from biport.data.acl_imdb import read_acl_imdb
from biport.data.imdb_npz import read_imdb_npz
from biport.data.padding import check_layout, pad
from biport.data.reviews import Reviews
from biport.data.word_index import INDEX_FROM, OOV_ID, START_ID, WordIndex, check_num_words
from biport.errors import FileError

Rows = tuple[NDArray[np.int32], NDArray[np.int32]]
"""Ids of shape (N, T) and labels of shape (N,), 1 for positive."""

_Part = tuple[Sequence[ArrayLike], NDArray[np.int32]]

ADVICE = (
    "give what you have as source: a folder aclImdb or aclImdb_v1.tar.gz "
    "(https://ai.stanford.edu/~amaas/data/sentiment/), or Keras' imdb.npz"
)
SHUFFLE_SEED = 113
"""The default of ``keras.datasets.imdb.load_data``."""


def imdb(source: str | os.PathLike[str], num_words: int = 5000, length: int = 300) -> tuple[Rows, Rows]:
    """Load the reviews for a model that starts with ``Embedding(num_words, ...)``.

    Args:
        source: a folder ``aclImdb``, the archive ``aclImdb.tar.gz``, or Keras' ``imdb.npz``, of which the
            arrays are those of ``keras.datasets.imdb.load_data``.
        num_words: V: 0 is padding, 1 starts a review, 2 is any word with an id of V or more, 4 is the most
            frequent word. Keras' file comes with its words numbered; from texts they are numbered by how
            frequent they are in training (`WordIndex`), and a word that only testing has is 2 as well.
        length: T; longer reviews lose their front, shorter ones are padded there, as
            ``keras.utils.pad_sequences`` does by default.

    Returns:
        ``(x_train, y_train), (x_test, y_test)``, int32, in the same shuffled order every time; that of Keras,
        where the reviews come from its file.

    Raises:
        FileError: naming the file and what was expected.
        InputError: for a ``num_words`` below 4 or a ``length`` below 1.
    """
    check_num_words(num_words)
    check_layout(length, "left", "left")
    if _is_npz(Path(source)):
        ranked = read_imdb_npz(source)
        train, test = (
            [_ids(row, num_words) for row in rows] for rows in (ranked.train_rows, ranked.test_rows)
        )
        return _shuffled((train, ranked.train_labels), (test, ranked.test_labels), length)
    return encode_reviews(read_acl_imdb(source), num_words, length)


def encode_reviews(reviews: Reviews, num_words: int, length: int) -> tuple[Rows, Rows]:
    """Number the words of any labelled texts as `imdb` does, by the training texts, and shuffle the rows.

    Raises:
        InputError: for a ``num_words`` below 4 or a ``length`` below 1.
    """
    index = WordIndex.fit(reviews.train_texts, num_words)
    train, test = (
        [index.encode(text) for text in texts] for texts in (reviews.train_texts, reviews.test_texts)
    )
    return _shuffled((train, reviews.train_labels), (test, reviews.test_labels), length)


def _is_npz(path: Path) -> bool:
    """Whether it is an ``.npz`` and no folder or ``.tar.gz``, by its first bytes."""
    if path.is_dir():
        return False
    try:
        with path.open("rb") as file:
            start = file.read(4)
    except OSError as error:
        raise FileError(f"{path}: cannot be read: {error.strerror}; {ADVICE}.") from error
    if start != b"PK\3\4" and start[:2] != b"\x1f\x8b":
        raise FileError(f"{path}: expected an .npz or a .tar.gz file, found neither; {ADVICE}.")
    return start[:2] == b"PK"


def _ids(ranks: NDArray[np.int64], num_words: int) -> NDArray[np.int64]:
    ids = np.concatenate([[START_ID], ranks + INDEX_FROM])
    ids[ids >= num_words] = OOV_ID
    return ids


def _shuffled(train: _Part, test: _Part, length: int) -> tuple[Rows, Rows]:
    # The old generator, and one for both parts, as Keras does it, so that its file gives its order.
    rng = np.random.RandomState(SHUFFLE_SEED)

    def arrays(part: _Part) -> Rows:
        rows, labels = part
        order = np.arange(len(rows))
        rng.shuffle(order)
        return pad(rows, length, "left", "left")[order], labels[order]

    return arrays(train), arrays(test)
