"""What somebody asks of forms beside being the same: the labels of the source, and numbers of a pipeline."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from biport.analysis.text_model import output_activation
from biport.app.arrays import load_inputs
from biport.app.forms import Form
from biport.app.oracle import OracleOutputs
from biport.app.trials import Trials
from biport.compare.agreement import Agreement, Scores, agreement, scores_of
from biport.compare.expected import Distance, Expected, check_expected, distance
from biport.compare.gate import Gate
from biport.compare.outcomes import Results
from biport.compare.text_agreement import text_agreement
from biport.compare.tolerance import Error, judge_float32
from biport.data.lines import read_lines
from biport.errors import Argument, FileError, InputError
from biport.graph import Graph
from biport.inputs import Inputs, batch_axis
from biport.text.alphabet import Alphabet

TABLES = {".csv": ",", ".tsv": "\t"}
AGREEMENT, EXPECTED = "label agreement", "expected numbers"
"""What gates are called."""


@dataclass(frozen=True)
class Ran:
    """Forms that were run, and what was run.

    Args:
        forms: all of them.
        results: what each gave, by its name, or what went wrong.
        oracle: what they are compared with.
        outputs: what the outputs are called.
        trials: what they were run on.
        rounded: what the oracle gives in float32.
        rounding: how far that is off, for each output.
        floor: what it may always do.
        graph: the model, where biport reads it.
    """

    forms: Sequence[Form]
    results: Mapping[str, Results | str]
    oracle: OracleOutputs
    outputs: Sequence[str]
    trials: Trials
    rounded: Results
    rounding: Sequence[Error]
    floor: float
    graph: Graph | None = None

    @property
    def alphabet(self) -> Alphabet | None:
        """What the classes of the first output are called, where some form says that it is one of CTC."""
        own = None if self.graph is None else self.graph.alphabet
        every = (form.taken.alphabet for form in self.forms if form.taken and form.taken.alphabet)
        return own or next(every, None)

    def given(self, form: Form, position: int) -> dict[str, np.ndarray] | None:
        """One output of a form by case; ``None`` where it does not run, or gives others."""
        results = self.results[form.name]
        if isinstance(results, str) or any(len(one) != len(self.outputs) for one in results.values()):
            return None
        return {case: np.asarray(arrays[position]) for case, arrays in results.items()}

    def allowed(self, position: int) -> float:
        """What the policy allows a form in float32 that is compared with the oracle alone."""
        return judge_float32(Error(0.0, 0.0), self.rounding[position], None, self.floor)[1]

    def valid(self, position: int) -> Mapping[str, np.ndarray] | None:
        """Which steps of an output are no padding, as the model's own mask says it, or the user's texts."""
        masks = self.oracle.valid(position)
        if masks is not None or self.oracle.views[position].steps is None or self.trials.rows is None:
            return masks
        return self.trials.rows.valid

    def subject(self, form: Form, position: int) -> str:
        """What a gate says it is of."""
        return form.name if len(self.outputs) == 1 else f"{form.name}, {self.outputs[position]}"


def compared_labels(ran: Ran, names: Sequence[str] | None, asked: bool) -> list[Agreement]:
    """How the labels of every output that has some go with the source's.

    Args:
        ran: the forms.
        names: what the classes of the first output are called.
        asked: whether it is an error that there are none.

    Raises:
        InputError: no output has labels, or there is nothing to compare; the data have labels, and no output
            that has one a row.
    """
    alphabet = ran.alphabet
    scores = [
        _scores(ran, position, names if position == 0 else None)
        if position or alphabet is None
        else "is read as texts"
        for position in range(len(ran.outputs))
    ]
    read = {position: one for position, one in enumerate(scores) if isinstance(one, Scores)}
    if asked and not read and alphabet is None:
        reasons = "; ".join(f"{name!r} {one}" for name, one in zip(ran.outputs, scores, strict=True))
        raise InputError(
            Argument("min_agreement"),
            f" is a share of labels, and no output has any: {reasons}; ",
            Argument("tolerance"),
            " says how far numbers may be off, and ",
            Argument("labels"),
            " that they are logits of classes",
        )
    compared = [] if alphabet is None else compared_texts(ran, alphabet)
    compared += [
        agreement(
            form.name,
            ran.outputs[position],
            one,
            ran.given(form, position),
            ran.oracle.of(position),
            ran.allowed(position),
            valid=ran.valid(position),
            rows=ran.trials.rows,
            stepwise=ran.oracle.views[position].steps is not None,
        )
        for position, one in read.items()
        for form in ran.forms
    ]
    if asked and not any(one.count for one in compared if one.count is not None):
        raise InputError(
            Argument("min_agreement"), " is a share of labels, and on these inputs there is none"
        )
    rows = ran.trials.rows
    if rows is not None and rows.labels is not None and all(one.accuracy is None for one in compared):
        raise InputError(
            f"{rows.described}: has one label a row, and no output of the model does: "
            f"{', '.join(map(repr, ran.outputs))}"
        )
    return compared


def compared_texts(ran: Ran, alphabet: Alphabet) -> list[Agreement]:
    """How the texts that are read off the first output go with the source's, for each form."""
    axis = ran.oracle.views[0].rows or 0
    return [
        text_agreement(
            form.name,
            ran.outputs[0],
            alphabet,
            _moved(ran.given(form, 0), axis),
            _moved(ran.oracle.of(0), axis) or {},
            ran.allowed(0),
            rows=ran.trials.rows,
        )
        for form in ran.forms
    ]


def _moved(arrays: Mapping[str, np.ndarray] | None, rows: int) -> dict[str, np.ndarray] | None:
    """Arrays with their rows on the first axis; ``None`` of others than sequences."""
    if arrays is None or any(array.ndim != 3 for array in arrays.values()):
        return None
    return {case: np.moveaxis(array, rows, 0) for case, array in arrays.items()}


def _scores(ran: Ran, position: int, names: Sequence[str] | None) -> Scores | str:
    view, exact = ran.oracle.views[position], [*ran.oracle.of(position).values()]
    if view.rows != 0:
        return "has no rows on its first axis"
    activation = None if ran.graph is None else output_activation(ran.graph, ran.graph.outputs[position])
    return scores_of(exact, activation, view.steps == exact[0].ndim - 1, names)


def label_gates(ran: Ran, compared: Sequence[Agreement], least: float) -> list[Gate]:
    """A gate for every form and output that has labels."""
    return [
        Gate(
            AGREEMENT,
            one.form if len(ran.outputs) == 1 else f"{one.form}, {one.output}",
            one.share,
            least,
            note=_label_note(one),
            details={"form": one.form, "output": one.output, "differing": one.differing, "ties": one.ties},
        )
        for one in compared
    ]


def _label_note(one: Agreement) -> str:
    if one.count is None:
        return "it does not run, or gives other shapes"
    first = next((row for row in one.rows if not row.tie), None)
    return f"{one.differing} of {one.count} {one.unit}s differ" + (
        "" if first is None else f", first {first.text}"
    )


def label_notes(compared: Sequence[Agreement]) -> list[str]:
    """What there is to be said of how much the agreement says."""
    outputs = dict.fromkeys(one.output for one in compared if one.classes == 1 and (one.count or 0) > 1)
    return [f"the source gives every {_unit(compared, name)} of {name} the same label" for name in outputs]


def _unit(compared: Sequence[Agreement], output: str) -> str:
    return next(one.unit for one in compared if one.output == output)


def expected_numbers(expected: Inputs | str | os.PathLike[str], ran: Ran) -> list[tuple[int, Expected]]:
    """What is expected, for each output that it is known of.

    Args:
        expected: arrays by the names of outputs, in order, or one array for a single one; or a file of them.
        ran: the forms.

    Raises:
        InputError: the data were not given, an output is none of the model's, or the numbers are of another
            shape.
        FileError: the file cannot be read.
    """
    rows = ran.trials.rows
    if rows is None or not len(rows):
        raise InputError(
            Argument("expected"),
            ": numbers of which rows? They go with ",
            Argument("inputs"),
            ", one for each",
        )
    shapes = [next(iter(ran.oracle.of(position).values())).shape for position in range(len(ran.outputs))]
    owner = os.fspath(expected) if isinstance(expected, str | os.PathLike) else "expected"
    given = _by_name(expected, owner, ran.outputs, shapes)
    known = []
    for name, array in given.items():
        position = ran.outputs.index(name)
        view, shape = ran.oracle.views[position], shapes[position]
        if view.rows != 0 or batch_axis(shape) is None:
            raise InputError(f"{owner}: the output {name!r} has no rows on its first axis")
        # A batch has as many steps as its longest row.
        sizes = [("T" if axis == view.steps else size) for axis, size in enumerate(shape)]
        known.append((position, check_expected(name, owner, array, sizes, len(rows))))
    return known


def _by_name(
    expected: Any, owner: str, outputs: Sequence[str], shapes: Sequence[tuple[int, ...]]
) -> Mapping[str, Any]:
    if isinstance(expected, str | os.PathLike):
        path = Path(expected)
        table = path.suffix.lower() in TABLES
        expected = _table(path, outputs, shapes) if table else load_inputs(path)
    if isinstance(expected, np.ndarray):
        expected = [expected]
    if not isinstance(expected, Mapping):
        given = list(expected)
        if len(given) != len(outputs):
            raise InputError(
                f"{owner}: holds {len(given)} arrays without names, and the model has the outputs "
                f"{', '.join(outputs)}"
            )
        expected = dict(zip(outputs, given, strict=True))
    unknown = [name for name in expected if name not in outputs]
    if unknown or not expected:
        others = ", ".join(unknown) or "nothing"
        raise InputError(f"{owner}: the model has the outputs {', '.join(outputs)}; found {others}")
    return expected


def _table(path: Path, outputs: Sequence[str], shapes: Sequence[tuple[int, ...]]) -> dict[str, np.ndarray]:
    """Numbers of a table: a column an output, whose cells may be arrays in JSON; or a column a class.

    Raises:
        FileError: naming the line.
    """
    lines = (f"{line}\n" for _, line in read_lines(path))
    rows = [row for row in csv.reader(lines, delimiter=TABLES[path.suffix.lower()]) if row]
    if not rows:
        raise FileError(f"{path}: expected numbers, found nothing")
    names, body = [name.strip() for name in rows[0]], rows[1:]
    for number, row in enumerate(body, 2):
        if len(row) != len(names):
            raise FileError(f"{path}: row {number}: expected {len(names)} fields, found {len(row)}")
    columns = {name: [row[at] for row in body] for at, name in enumerate(names)}
    named = [name for name in outputs if name in columns]
    if named:
        return {name: _numbers(path, columns[name]) for name in named}
    size = shapes[0][-1] if len(shapes[0]) == 2 else 1
    if len(outputs) == 1 and len(columns) == len(names) == size and len(shapes[0]) <= 2:
        return {outputs[0]: np.stack([_numbers(path, column) for column in columns.values()], 1)}
    raise FileError(
        f"{path}: expected a column of numbers for an output ({', '.join(outputs)}), or {size} columns and "
        f"no other; its first row is {', '.join(map(repr, names))}"
    )


def _numbers(path: Path, cells: Sequence[str]) -> np.ndarray:
    values = []
    for number, cell in enumerate(cells, 2):
        try:
            values.append(np.asarray(json.loads(cell), "float64"))
        except (ValueError, TypeError, RecursionError) as error:
            raise FileError(f"{path}: row {number}: expected a number, found {cell[:60]!r}") from error
    if len({value.shape for value in values}) > 1:
        raise FileError(f"{path}: expected arrays of one shape, found {sorted({v.shape for v in values})}")
    return np.array(values)


def expected_gates(ran: Ran, known: Sequence[tuple[int, Expected]], tolerance: float | None) -> list[Gate]:
    """A gate for every form and output that something is expected of.

    Without a tolerance both may be off by what the policy allows in float32, each to its own side.
    """
    gates = []
    for position, expected in known:
        limit = 2 * ran.allowed(position) if tolerance is None else tolerance
        for form in ran.forms:
            given, rows = ran.given(form, position), ran.trials.rows
            subject, details = ran.subject(form, position), {"form": form.name, "output": expected.output}
            if given is None or rows is None:
                note = "it does not run, or gives other shapes"
                gates.append(Gate(EXPECTED, subject, None, limit, False, note, details))
                continue
            far = distance(expected, given, rows, ran.valid(position), tolerance is not None, limit)
            note = "" if far.maximum <= limit else _far_note(far, ran)
            row = {"row": rows.numbers[far.row], "hint": far.hint}
            gates.append(Gate(EXPECTED, subject, far.maximum, limit, False, note, details | row))
    return gates


def _far_note(far: Distance, ran: Ran) -> str:
    assert ran.trials.rows is not None
    return f"worst in {ran.trials.rows.text_of(far.row)}" + (f"; {far.hint}" if far.hint else "")
