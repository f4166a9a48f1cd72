"""What a recipe trains on, as columns for `biport.data.Batches` and what makes a batch of their rows."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from biport import data as sources
from biport.data.batches import BEGINNING, Column
from biport.errors import Argument, FileError, InputError
from biport.training.recipe import Recipe
from biport.training.trainer import Batch

EVALUATION_ROWS = 1000
"""Rows of generated data to validate on, and as many to test on."""
TEST_SHARE = 0.1
"""Of data from a file that has no rows for testing of its own."""
SOFTMAX_TAGS = 3

Columns = Sequence[Column]
Arrange = Callable[[tuple[NDArray, ...]], Batch]


@dataclass(frozen=True, eq=False)
class TaskData:
    """Rows to train on, to choose the best epoch by, and to test on.

    Args:
        train: the columns of the first.
        validation: of the second.
        test: of the third.
        arrange: makes a batch of one batch of such rows.
        sizes: the settings of the model that the data decide.
        vocabularies: by the name of the file they are stored in.
        labels: what the classes are called, where they have names.
    """

    train: Columns
    validation: Columns
    test: Columns
    arrange: Arrange
    sizes: Mapping[str, Any]
    vocabularies: Mapping[str, sources.Vocabulary] = field(default_factory=dict)
    labels: tuple[str, ...] = ()

    def batches(
        self, columns: Columns, recipe: Recipe, position: sources.BatchPosition | None = None
    ) -> sources.Batches:
        """The batches of some rows; with a position those of training, shuffled."""
        shuffle = position is not None
        return sources.Batches(
            columns,
            recipe.batch_size,
            recipe.seed,
            shuffle=shuffle,
            max_length=recipe.max_length,
            position=position or BEGINNING,
        )

    def summary(self) -> dict[str, Any]:
        """What has to be the same for a run to go on: rows, sizes, labels, and a digest of all."""
        parts = self.train, self.validation, self.test
        digest = hashlib.sha256()
        for columns in parts:
            for column in columns:
                _add_column(digest, column)
        return {
            "rows": dict(
                zip(("train", "validation", "test"), (len(columns[0]) for columns in parts), strict=True)
            ),
            "sizes": dict(self.sizes),
            "labels": list(self.labels),
            "digest": digest.hexdigest(),
        }


def _add_column(digest: Any, column: Column) -> None:
    rows = [column] if isinstance(column, np.ndarray) else [np.asarray(row, np.int64) for row in column]
    for row in rows:
        digest.update(f"{row.dtype} {row.shape}".encode())
        digest.update(np.ascontiguousarray(row).tobytes())


def load_data(recipe: Recipe, imdb: Path | None = None) -> TaskData:
    """Make or read what a recipe trains on.

    Args:
        recipe: whose data are wanted.
        imdb: the file that ``data="imdb"`` stands for, Keras' ``imdb.npz``.

    Raises:
        InputError: the task has no such data, or ``imdb`` is missing.
        FileError: naming the file and what is wrong with it.
    """
    match recipe.task:
        case "sentiment":
            return _sentiment(recipe, imdb)
        case "tagger":
            return _tagger(recipe)
        case _:
            return _seq2seq(recipe)


def one_class(rows: tuple[NDArray, ...]) -> Batch:
    """Of tokens and a label a row."""
    tokens, labels = rows
    return Batch((tokens,), labels, np.ones(labels.shape, np.float32))


def class_a_step(rows: tuple[NDArray, ...]) -> Batch:
    """Of a sequence, labels and a mask a row; rows are cut to the longest one's length."""
    sequence, labels, mask = rows
    length = max(1, int(mask.sum(axis=1).max(initial=0)))
    sequence, labels, mask = (np.ascontiguousarray(array[:, :length]) for array in rows)
    return Batch((sequence,), labels, mask.astype(np.float32))


def next_token(rows: tuple[NDArray, ...]) -> Batch:
    """Of source and target ids: the decoder reads the target and says at each step what comes next."""
    source, target = rows
    truth = np.ascontiguousarray(target[:, 1:])
    return Batch((source, np.ascontiguousarray(target[:, :-1])), truth, (truth != 0).astype(np.float32))


def _sentiment(recipe: Recipe, imdb: Path | None) -> TaskData:
    if recipe.data == "reviews":
        reviews = sources.load_synthetic(recipe.limit or 4000, 2 * EVALUATION_ROWS, recipe.seed)
        unseen = sources.Reviews(
            reviews.test_texts[:EVALUATION_ROWS],
            reviews.test_labels[:EVALUATION_ROWS],
            reviews.test_texts[EVALUATION_ROWS:],
            reviews.test_labels[EVALUATION_ROWS:],
        )
        parts = [(reviews.train_texts, reviews.train_labels), *_sides(unseen)]
        return _texts(recipe, parts, ("negative", "positive"))
    path = Path(recipe.data)
    readers = {".csv": sources.read_csv, ".jsonl": sources.read_jsonl}
    if path.suffix in readers:
        labelled = readers[path.suffix](path)
        rest, test = _sides(sources.split(labelled.texts, labelled.labels, TEST_SHARE, recipe.seed))
        train, validation = _sides(sources.split(*rest, recipe.validation_share, recipe.seed))
        train = train[0][: recipe.limit], train[1][: recipe.limit]
        return _texts(recipe, [train, validation, test], labelled.names)
    if recipe.data == "imdb":
        if imdb is None:
            raise InputError(Argument("data", "imdb"), " stands for Keras' imdb.npz: give its path.")
        return _imdb(recipe, imdb)
    if path.exists():
        return _imdb(recipe, path)
    raise _unknown(
        recipe, "reviews, imdb, a .csv or .jsonl file, aclImdb as a folder or archive, or imdb.npz"
    )


def _sides(reviews: sources.Reviews) -> tuple[tuple[list[str], NDArray[np.int32]], ...]:
    return (reviews.train_texts, reviews.train_labels), (reviews.test_texts, reviews.test_labels)


def _texts(recipe: Recipe, parts: Sequence[tuple[list[str], NDArray]], names: tuple[str, ...]) -> TaskData:
    vocabulary = sources.Vocabulary.fit(parts[0][0], recipe.vocabulary_limit, unit=recipe.unit)
    columns = [([vocabulary.encode(text) for text in texts], labels) for texts, labels in parts]
    if len(names) < 2:
        raise FileError(f"{recipe.data}: expected two classes or more, found {list(names)}.")
    sizes = {"vocabulary_size": len(vocabulary), "classes": 1 if len(names) == 2 else len(names)}
    return TaskData(
        columns[0], columns[1], columns[2], one_class, sizes, {"vocabulary.json": vocabulary}, names
    )


def _imdb(recipe: Recipe, path: Path) -> TaskData:
    size, length = recipe.vocabulary_limit or 5000, recipe.max_length or 300
    (tokens, labels), test = sources.imdb(path, size, length)
    # Shuffled already; the last share of it, as Keras' validation_split takes it.
    cut = len(labels) - round(len(labels) * recipe.validation_share)
    train = tokens[:cut][: recipe.limit], labels[:cut][: recipe.limit]
    sizes = {"vocabulary_size": size, "classes": 1}
    validation = tokens[cut:], labels[cut:]
    return TaskData(train, validation, test, one_class, sizes, labels=("negative", "positive"))


def _tagger(recipe: Recipe) -> TaskData:
    rows = (recipe.limit or 4000) + 2 * EVALUATION_ROWS
    if recipe.data == "tags":
        classes = 2 if recipe.tags == "binary" else SOFTMAX_TAGS
        tagged = sources.tagged_sequences(rows, recipe.seed, min_length=10, classes=classes)
        columns = tagged.tokens, tagged.tags, tagged.mask
        sizes = {"vocabulary_size": 50, "tags": 1 if classes == 2 else classes}
    elif recipe.data == "steps":
        steps = sources.labelled_steps(rows, recipe.seed, min_length=10)
        columns = steps.features, steps.labels, steps.mask
        sizes = {"features": steps.features.shape[-1], "tags": 1 if recipe.tags == "binary" else 2}
    else:
        raise _unknown(recipe, "tags or steps")
    ends = [0, rows - 2 * EVALUATION_ROWS, rows - EVALUATION_ROWS, rows]
    parts = [tuple(column[start:end] for column in columns) for start, end in itertools.pairwise(ends)]
    return TaskData(parts[0], parts[1], parts[2], class_a_step, sizes)


def _seq2seq(recipe: Recipe) -> TaskData:
    if recipe.data == "dates":
        split = sources.load_dates(recipe.limit or 30_000, EVALUATION_ROWS, EVALUATION_ROWS, recipe.seed)
    elif Path(recipe.data).suffix == ".tsv":
        pairs = sources.read_pairs(recipe.data)
        split = sources.split_pairs(pairs, recipe.validation_share, TEST_SHARE, recipe.seed)
    else:
        raise _unknown(recipe, "dates, or a .tsv file of pairs")
    train = split.train.part(range(min(len(split.train), recipe.limit or len(split.train))))
    source = sources.Vocabulary.fit(train.sources, recipe.vocabulary_limit, unit=recipe.unit)
    target = sources.Vocabulary.fit(train.targets, recipe.vocabulary_limit, unit=recipe.unit, ends=True)
    columns = [
        (
            [source.encode(text) for text in pairs.sources],
            [target.encode(text) for text in pairs.targets],
        )
        for pairs in (train, split.validation, split.test)
    ]
    sizes = {"source_size": len(source), "target_size": len(target)}
    vocabularies = {"source_vocabulary.json": source, "target_vocabulary.json": target}
    return TaskData(columns[0], columns[1], columns[2], next_token, sizes, vocabularies)


def _unknown(recipe: Recipe, known: str) -> InputError:
    return InputError(Argument("data", recipe.data), f": for {recipe.task} give {known}.")
