"""Rows of the user's own as a model takes them: the texts of a table, or arrays; and what they are labelled.

What a gate says of a model it says of the data it was measured on, so these are described too: which file,
which rows and columns of it, and its digest.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from biport.app.arrays import load_inputs
from biport.app.class_labels import classes_of, label_array, labels_in, with_labels
from biport.app.taken import Taken, taken_by
from biport.app.text_batches import ROWS, STEPS, text_batches
from biport.data.text_rows import FORMATS, read_rows
from biport.errors import Argument, FileError, InputError
from biport.files import reason
from biport.inputs import batch_axis, check_arrays, in_order
from biport.text.inputs import source_names, with_ids


@dataclass(frozen=True)
class Origin:
    """Which data a gate was measured on.

    Args:
        path: the file.
        digest: its SHA-256.
        text: the column of the texts; ``None`` of arrays, and of a file without columns.
        label: the column of the labels, or the array of them; ``None`` where none was asked for.
    """

    path: str
    digest: str
    text: str | None = None
    label: str | None = None

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return {"path": self.path, "sha256": self.digest, "text": self.text, "label": self.label}


@dataclass(frozen=True)
class Examples:
    """Rows as a model takes them.

    Args:
        batches: for each batch an array for each input of the model, in order.
        rows: for each batch which rows it holds, counted from 0.
        numbers: what the file calls each row: in a table its number, of arrays counted from 1.
        texts: of each row; ``None`` of arrays.
        labels: the class of each row, ``(N,)``; ``None`` where none were asked for.
        names: what the classes are called; ``None`` where nobody says.
        origin: the data.
        sources: of texts, for each batch the same as texts: an array for each input of the model of texts.
        valid: of texts, for each batch which steps are no padding, bool ``(N, T)``.
    """

    batches: list[list[np.ndarray]]
    rows: list[np.ndarray]
    numbers: list[int]
    origin: Origin
    texts: list[str] | None = None
    labels: np.ndarray | None = None
    names: tuple[str, ...] | None = None
    sources: list[list[np.ndarray]] | None = None
    valid: list[np.ndarray] | None = None

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def described(self) -> str:
        """The data in words: rows, columns, and the file by its digest.

        Example:
            >>> Examples([], [], [1, 2], Origin("reviews.csv", "00ff" * 16, "review")).described
            '2 rows of reviews.csv (texts in review; sha256 00ff00ff00ff)'
        """
        columns = {"texts": self.origin.text, "labels": self.origin.label}
        said = [f"{what} in {name}" for what, name in columns.items() if name is not None]
        inside = f"{', '.join(said)}{'; ' * bool(said)}sha256 {self.origin.digest[:12]}"
        return f"{len(self)} row{'s' * (len(self) != 1)} of {self.origin.path} ({inside})"

    def in_row_order(self, results: Sequence[np.ndarray]) -> list[np.ndarray]:
        """One output of every batch as one array a row, without the batch's axis, in the order of the rows.

        Args:
            results: for each batch the output, ``(N, ...)``.
        """
        ordered: list[np.ndarray] = [np.empty(0)] * len(self)
        for rows, result in zip(self.rows, results, strict=True):
            for row, part in zip(rows, result, strict=True):
                ordered[row] = part
        return ordered


def read_examples(
    path: str | os.PathLike[str],
    model: Any,
    *,
    text: str | None = None,
    label: str | None = None,
    labels: Sequence[str] | None = None,
    limit: int | None = None,
) -> Examples:
    """Read rows from a file of texts or of arrays.

    Texts become ids as the model says, by its tokeniser. Rows of like length are in a batch
    together; where the model sees padding, only rows of one length are, so that nothing is added to any.

    Args:
        path: a ``.csv``, ``.tsv``, ``.jsonl`` or ``.txt`` of texts, see `biport.data.text_rows`; or an
            ``.npz`` of arrays by the names of the inputs, or an ``.npy`` of a single one.
        model: a `Graph`, an ``export.Session``, or what `taken_by` says of either.
        text: the column or key of the texts; by default the first of `biport.data.tables.TEXT_COLUMNS`.
        label: the column or key of the labels, or the name of their array in an ``.npz``. Labels are the
            names of classes, or their numbers from 0.
        labels: the names of the classes in the order of the output, where the model does not say them.
        limit: how many rows to read at most.

    Raises:
        InputError: there is no row; the model takes no texts, or several of them; all labels are the same; or
            the rows do not suit the model.
        FileError: naming file and row: it cannot be read, a column is missing, or a label is none of the
            model's.

    Example:
        >>> import tempfile
        >>> from biport.graph import Value
        >>> from biport.text import Tokenizer
        >>> taken = Taken(
        ...     (Value("ids", ("N", "T"), "int32"),),
        ...     tokenizers={"ids": Tokenizer(("good", "bad"))},
        ...     labels=("no", "yes"),
        ...     masked=True,
        ... )
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = Path(folder) / "reviews.csv"
        ...     _ = file.write_text("review,stars\\nGood,yes\\nso bad,no\\n")
        ...     examples = read_examples(file, taken, text="review", label="stars")
        >>> examples.batches[0][0].tolist(), examples.rows[0].tolist(), examples.labels.tolist()
        ([[2, 0], [1, 3]], [0, 1], [1, 0])
    """
    if limit is not None and limit < 1:
        raise InputError(Argument("limit", limit), ": at least 1 row is read")
    taken = model if isinstance(model, Taken) else taken_by(model)
    if labels is not None:
        taken = with_labels(taken, labels)
    path = Path(path)
    examples = (
        _of_texts(path, taken, text, label, limit)
        if path.suffix.lower().removeprefix(".") in FORMATS
        else _of_arrays(path, taken, text, label, limit)
    )
    if examples.labels is not None and len(np.unique(examples.labels)) == 1 < len(examples):
        only = _name(examples.names, int(examples.labels[0]))
        raise InputError(
            f"{path}: all {len(examples)} rows are labelled {only!r}; what a model gets right of one class "
            "alone says nothing of it"
        )
    return examples


def _of_texts(path: Path, taken: Taken, text: str | None, label: str | None, limit: int | None) -> Examples:
    source = _source(path, taken)
    rows = list(islice(read_rows(path, text), limit))
    if not rows:
        raise InputError(f"{path}: holds no row; a gate needs data to be measured on")
    # Before texts become ids: what is said of the wrong column is said at once.
    classes = None if label is None else classes_of(path, labels_in(path, rows, label), taken)
    batches = text_batches(rows, taken, source)
    return Examples(
        batches.arrays,
        batches.rows,
        [row.number for row in rows],
        Origin(os.fspath(path), _digest(path), rows[0].column, label),
        [row.text for row in rows],
        classes,
        taken.labels,
        [[texts] for texts in batches.texts],
        batches.valid,
    )


def _source(path: Path, taken: Taken) -> str:
    """The one input that texts are given for.

    Raises:
        InputError: there is none, or there are several inputs.
    """
    names = [value.name for value in taken.inputs]
    read = [name for name in names if name in taken.tokenizers]
    others = [name for name in names if name not in read] if read else names[1:]
    if not taken.sources:
        raise InputError(
            f"{path}: holds texts, and the model says no tokeniser for its input {names[0]!r}; give one that "
            "carries it (a folder or an .onnx file written with its vocabulary), or ids in an .npz"
        )
    if len(taken.sources) > 1 or others:
        raise InputError(
            f"{path}: holds one text a row, and the model takes "
            f"{', '.join(dict.fromkeys((*taken.sources, *others)))}; give an .npz of all its inputs by name"
        )
    if taken.meets is not None:
        raise InputError(
            f"{path}: the rows of a batch meet in {taken.meets!r}, so that it matters which are together; "
            "give an .npz of one batch"
        )
    return taken.sources[0]


def _of_arrays(path: Path, taken: Taken, text: str | None, label: str | None, limit: int | None) -> Examples:
    if text is not None:
        raise InputError(f"{path}: ", Argument("text"), " names a column of texts; this file holds arrays")
    arrays = load_inputs(path)
    given_labels = None if label is None else label_array(path, arrays, label)
    if given_labels is not None:
        arrays = {name: array for name, array in arrays.items() if name != label}
        arrays = list(arrays.values()) if len(arrays) == 1 else arrays
    names = [value.name for value in taken.inputs]
    ids = in_order(names, with_ids(names, taken.tokenizers, arrays))
    whole = check_arrays(taken.inputs, taken.bounds, ids)
    texts = _given_texts(taken, names, arrays)
    count = _row_count(taken, whole)
    if not count:
        raise InputError(f"{path}: holds no row; a gate needs data to be measured on")
    if given_labels is not None and len(given_labels) != count:
        raise InputError(f"{path}: has {len(given_labels)} labels in {label!r} and {count} rows of inputs")
    if limit is not None and limit < count and not _divisible(taken):
        raise InputError(
            f"{path}: is one batch, of which no rows can be left out: ", Argument("limit", limit)
        )
    count = min(count, limit or count)
    labels = None
    if given_labels is not None:
        pairs = (
            (f"{path}: row {number}", one) for number, one in enumerate(given_labels[:count].tolist(), 1)
        )
        labels = classes_of(path, pairs, taken)
    parts = _divided(taken, whole, count)
    return Examples(
        [[array[part] for array in whole] for part in parts],
        [np.arange(count)[part] for part in parts],
        [*range(1, count + 1)],
        Origin(os.fspath(path), _digest(path), None, label),
        None,
        labels,
        taken.labels,
        None if texts is None else [[array[part] for array in texts] for part in parts],
    )


def _given_texts(taken: Taken, names: Sequence[str], arrays: Any) -> list[np.ndarray] | None:
    """The inputs of the model of texts, where those are what the file holds."""
    sources = source_names(names, taken.tokenizers)
    given = arrays if isinstance(arrays, Mapping) else dict(zip(sources, arrays, strict=False))
    if not taken.tokenizers or sorted(given) != sorted(sources):
        return None
    if any(np.asarray(given[one.source]).dtype.kind not in "UO" for one in taken.tokenizers.values()):
        return None
    read = {one.source for one in taken.tokenizers.values()}
    return [np.asarray(given[name], object if name in read else None) for name in sources]


def _row_count(taken: Taken, arrays: Sequence[np.ndarray]) -> int:
    axis = batch_axis(taken.inputs[0].shape)
    return 1 if axis is None else arrays[0].shape[axis]


def _divisible(taken: Taken) -> bool:
    """Whether rows lie on the first axis of every input, may be of any number, and are computed apart."""
    return taken.meets is None and all(
        batch_axis(value.shape) == 0 and not isinstance(value.shape[0], int) for value in taken.inputs
    )


def _divided(taken: Taken, arrays: Sequence[np.ndarray], count: int) -> list[slice]:
    """Batches of rows that follow one another; a single one where a batch cannot be divided."""
    if not _divisible(taken):
        return [slice(None)]
    steps = max((array.shape[1] for array in arrays if array.ndim > 1), default=1)
    size = max(1, min(ROWS, STEPS // max(1, steps)))
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise FileError(f"{path}: cannot be read: {reason(error)}") from error


def _name(names: Sequence[str] | None, number: int) -> str:
    return str(number) if names is None else names[number]
