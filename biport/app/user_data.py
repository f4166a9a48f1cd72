"""Rows of the user's own as a model takes them: the texts of a table, or arrays; and what they are labelled.

What a gate says of a model it says of the data it was measured on, so these are described too: which file,
which rows and columns of it, and its digest.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from biport.analysis.padding import masked_axes
from biport.analysis.rows import where_rows_meet
from biport.app.arrays import load_inputs
from biport.data.text_rows import FORMATS, TextRow, read_rows
from biport.errors import Argument, FileError, InputError, shortened, shown
from biport.files import reason
from biport.graph import Graph, Value
from biport.inputs import batch_axis, check_arrays, id_bounds, in_order
from biport.text.inputs import from_data, source_names, with_ids
from biport.text.tokenizer import Tokenizer

STEPS, ROWS = 8192, 256
"""Of a batch at most: steps, N · T, but of a single row; and rows."""

_WHOLE = re.compile(r"\d{1,9}")


@dataclass(frozen=True)
class Taken:
    """What a model says of the rows it takes.

    Args:
        inputs: name, shape and dtype of each, in order; of texts the dtype is ``"str"``.
        bounds: the inputs that are ids, and how many ids there are.
        tokenizers: by inputs of ids, or of texts, how texts become ids.
        labels: what the classes are called; ``None`` where the model does not say.
        classes: how many there are, by the size of the first output; ``None`` where that varies.
        masked: whether padding behind a row's end changes nothing.
        meets: the node in which the rows of a batch meet, so that it cannot be divided; ``None`` where each
            is computed by itself, as far as the model says.
    """

    inputs: Sequence[Value]
    bounds: Mapping[str, int] = field(default_factory=dict)
    tokenizers: Mapping[str, Tokenizer] = field(default_factory=dict)
    labels: tuple[str, ...] | None = None
    classes: int | None = None
    masked: bool = False
    meets: str | None = None

    @property
    def sources(self) -> list[str]:
        """The inputs of which texts are given, each once."""
        if self.tokenizers:
            return list(dict.fromkeys(one.source for one in self.tokenizers.values()))
        return [value.name for value in self.inputs if value.dtype == "str"]


def taken_by(model: Any, *, labels: Sequence[str] | None = None) -> Taken:
    """What a `Graph` or an ``export.Session`` takes.

    Args:
        model: one of these.
        labels: what its classes are called, where it does not say so itself.
    """
    named = None if labels is None else tuple(labels)
    if isinstance(model, Graph):
        return Taken(
            model.inputs,
            id_bounds(model),
            model.tokenizers,
            named,
            _classes([model.tensors[name].shape for name in model.outputs]),
            masked_axes(model) is not None,
            None if (meeting := where_rows_meet(model)) is None else meeting.name,
        )
    # Of a file that makes ids of texts itself they are known, too, and say how long the rows are.
    own = from_data(json.loads(model.metadata.get("biport.tokenizers", "{}")), str(model.path))
    return Taken(
        model.input_values,
        model.id_bounds,
        {**own, **model.tokenizers},
        named or model.labels,
        _classes([value.shape for value in model.output_values]),
        model.masked,
        model.metadata.get("biport.rows_meet"),
    )


def _classes(shapes: Sequence[Sequence[Any]]) -> int | None:
    size = shapes[0][-1] if shapes and shapes[0] else None
    if not isinstance(size, int):
        return None
    return 2 if size == 1 else size


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
        taken = _with_labels(taken, labels)
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


def _with_labels(taken: Taken, labels: Sequence[str]) -> Taken:
    if isinstance(labels, str) or len(set(labels)) < len(labels):
        raise InputError(
            Argument("labels"), f": they are several texts, all different, found {shown(labels)}"
        )
    if taken.classes not in (None, len(labels)):
        raise InputError(
            Argument("labels"),
            f": the model has {taken.classes} classes, found {len(labels)}: {list(labels)}",
        )
    return replace(taken, labels=tuple(labels))


def _of_texts(path: Path, taken: Taken, text: str | None, label: str | None, limit: int | None) -> Examples:
    source = _source(path, taken)
    rows = list(islice(read_rows(path, text), limit))
    if not rows:
        raise InputError(f"{path}: holds no row; a gate needs data to be measured on")
    # Before texts become ids: what is said of the wrong column is said at once.
    classes = None if label is None else _classes_of(path, _labels_in(path, rows, label), taken)
    texts = [row.text for row in rows]
    encoders = {name: one for name, one in taken.tokenizers.items() if one.source == source}
    encoded = [_encoded(row, encoders) for row in rows]
    for row, ids in zip(rows, encoded, strict=True):
        _check_length(row, taken, encoders, ids)
    order = _grouped([_Row(ids, _pads(taken, encoders, ids)) for ids in encoded])
    batches, valid = [], []
    for indices in order:
        given = [texts[index] for index in indices]
        arrays = [_input(value, encoders.get(value.name), given) for value in taken.inputs]
        batches.append(check_arrays(taken.inputs, taken.bounds, arrays))
        valid.append(_valid(taken, encoders, arrays))
    return Examples(
        batches,
        [np.array(indices) for indices in order],
        [row.number for row in rows],
        Origin(os.fspath(path), _digest(path), rows[0].column, label),
        texts,
        classes,
        taken.labels,
        [[_text_array([texts[index] for index in indices])] for indices in order],
        None if any(one is None for one in valid) else [one for one in valid if one is not None],
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


def _encoded(row: TextRow, encoders: Mapping[str, Tokenizer]) -> list[list[int]]:
    """The ids of a text, by each of the tokenisers."""
    try:
        return [encoder.encode(row.text) for encoder in encoders.values()]
    except InputError as error:
        raise InputError(f"{row.owner}: {error}") from error


def _check_length(
    row: TextRow, taken: Taken, encoders: Mapping[str, Tokenizer], encoded: Sequence[list[int]]
) -> None:
    """Refuse a row that a model of fixed length does not take."""
    shapes = {value.name: value.shape for value in taken.inputs}
    for name, ids in zip(encoders, encoded, strict=True):
        shape, length = shapes.get(name, ()), max(1, len(ids))
        fixed = shape[1] if len(shape) > 1 else None
        if isinstance(fixed, int) and (length > fixed or (length < fixed and not taken.masked)):
            only = f"rows of {fixed} steps"
            only += " at most" if taken.masked else "; it sees padding, so none is added"
            raise InputError(
                f"{row.where}: row {row.number}: the model takes {only}; {shortened(row.text)} has {length}"
            )


def _pads(taken: Taken, encoders: Mapping[str, Tokenizer], encoded: Sequence[list[int]]) -> bool:
    """Whether a row may be padded: the model does not see it, and the row has no padding of its own."""
    pairs = zip(encoders.values(), encoded, strict=True)
    return taken.masked and all(ids and one.padding_id not in ids for one, ids in pairs)


@dataclass(frozen=True)
class _Row:
    """The ids of a row, by each tokeniser, and whether more padding may stand behind them."""

    ids: Sequence[list[int]]
    pads: bool

    @property
    def lengths(self) -> tuple[int, ...]:
        return tuple(max(1, len(ids)) for ids in self.ids)


def _grouped(rows: Sequence[_Row]) -> list[list[int]]:
    """The rows that are in a batch together; the shortest come first."""
    groups: list[list[int]] = []
    for index in sorted(range(len(rows)), key=lambda index: (not rows[index].pads, rows[index].lengths)):
        row, last = rows[index], groups[-1] if groups else []
        together = (
            bool(last)
            and row.pads == rows[last[0]].pads
            and (row.pads or row.lengths == rows[last[0]].lengths)
            and len(last) < ROWS
            and (len(last) + 1) * max(row.lengths, default=1) <= STEPS
        )
        if together:
            last.append(index)
        else:
            groups.append([index])
    return groups


def _input(value: Value, encoder: Tokenizer | None, texts: Sequence[str]) -> np.ndarray:
    """An input of a batch."""
    if value.dtype == "str" or encoder is None:
        return _text_array(texts)
    ids = encoder.encode_batch(texts)
    if ids.ndim < 2:
        return ids
    fixed = value.shape[1] if len(value.shape) > 1 else None
    missing = max(fixed if isinstance(fixed, int) else 1, ids.shape[1]) - ids.shape[1]
    return np.pad(ids, ((0, 0), (0, missing)), constant_values=encoder.padding_id)


def _valid(
    taken: Taken, encoders: Mapping[str, Tokenizer], arrays: Sequence[np.ndarray]
) -> np.ndarray | None:
    """Which steps are no padding, by the ids of the first tokeniser; ``None`` where the ids are not seen."""
    for value, array in zip(taken.inputs, arrays, strict=True):
        if value.name in encoders and array.ndim == 2 and value.dtype != "str":
            return array != encoders[value.name].padding_id
    return None


def _text_array(texts: Sequence[str]) -> np.ndarray:
    # NumPy's own texts lose zeros at their end.
    array = np.empty(len(texts), object)
    array[:] = texts
    return array


def _labels_in(path: Path, rows: Sequence[TextRow], label: str) -> Iterator[tuple[str, Any]]:
    """Each row's label, and where it is."""
    for row in rows:
        if label not in row.fields:
            there = ", ".join(map(repr, row.fields)) or "no columns"
            raise FileError(f"{row.where}: expected a column {label!r} (labels), found {there}")
        yield row.where, row.fields[label]


def _classes_of(path: Path, labels: Iterable[tuple[str, Any]], taken: Taken) -> np.ndarray:
    """The number of each label's class.

    Raises:
        InputError: nobody says which class has which number.
        FileError: a label is none of the model's.
    """
    given = [(where, str(label).strip()) for where, label in labels]
    names = taken.labels or ()
    known = {name: number for number, name in enumerate(names)}
    if not any(label in known for _, label in given) and all(_WHOLE.fullmatch(label) for _, label in given):
        if taken.classes is None:
            raise InputError(
                f"{path}: its labels are numbers, and the model does not say how many classes it has"
            )
        known = {str(number): number for number in range(taken.classes)}
    elif not names:
        where, label = next(pair for pair in given if not _WHOLE.fullmatch(pair[1]))
        raise InputError(
            f"{where}: {label!r} is the label, and nobody says which class of the model that is; give the "
            "names in the order of the output, ",
            Argument("labels"),
            ", or a model that carries them",
        )
    numbers = []
    for where, label in given:
        if label not in known:
            wanted = ", ".join(map(repr, [*known][:10]))
            raise FileError(f"{where}: expected a label of {wanted}, found {label[:60]!r}")
        numbers.append(known[label])
    return np.array(numbers, "int64")


def _of_arrays(path: Path, taken: Taken, text: str | None, label: str | None, limit: int | None) -> Examples:
    if text is not None:
        raise InputError(f"{path}: ", Argument("text"), " names a column of texts; this file holds arrays")
    arrays = load_inputs(path)
    given_labels = None if label is None else _label_array(path, arrays, label)
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
        labels = _classes_of(path, pairs, taken)
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


def _label_array(path: Path, arrays: Any, label: str) -> np.ndarray:
    if not isinstance(arrays, dict) or label not in arrays:
        there = ", ".join(map(repr, arrays)) if isinstance(arrays, dict) else "one array alone"
        raise FileError(f"{path}: expected an array {label!r} (labels), found {there}")
    array = arrays[label]
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1 or array.dtype.kind not in "iuUb":
        raise FileError(
            f"{path}: {label!r} should be a number or a name a row, (N,), found {array.dtype} {array.shape}"
        )
    return array.astype("int64") if array.dtype.kind == "b" else array


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
