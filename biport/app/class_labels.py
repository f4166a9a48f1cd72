"""Labels of data as numbers of the classes of a model."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from biport.app.taken import Taken
from biport.data.text_rows import TextRow
from biport.errors import Argument, FileError, InputError, shown

_WHOLE = re.compile(r"\d{1,9}")


def labels_in(path: Path, rows: Sequence[TextRow], label: str) -> Iterator[tuple[str, Any]]:
    """Each row's label, and where it is."""
    for row in rows:
        if label not in row.fields:
            there = ", ".join(map(repr, row.fields)) or "no columns"
            raise FileError(f"{row.where}: expected a column {label!r} (labels), found {there}")
        yield row.where, row.fields[label]


def classes_of(path: Path, labels: Iterable[tuple[str, Any]], taken: Taken) -> np.ndarray:
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


def label_array(path: Path, arrays: Any, label: str) -> np.ndarray:
    """The labels of a file of arrays, ``(N,)``.

    Raises:
        FileError: they are not there, or not one a row.
    """
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


def with_labels(taken: Taken, labels: Sequence[str]) -> Taken:
    """The model with other names of its classes.

    Raises:
        InputError: there are more or fewer of them, or one is there twice.
    """
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
