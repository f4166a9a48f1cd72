"""What forms are run on: random inputs under every pattern of mask, arrays, or the user's own data."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from biport.analysis.text_model import unsaid_lengths
from biport.app.forms import Form
from biport.app.user_data import Examples, Taken, read_examples, taken_by
from biport.compare.cases import CASES, RIGHT_PADDED, random_cases
from biport.compare.localize.traced import Cases, Traced
from biport.compare.rows import DataRows
from biport.compare.text_cases import text_cases
from biport.errors import Argument, InputError
from biport.graph import Graph, Value
from biport.inputs import Inputs, batch_axis, in_order
from biport.text.inputs import source_names, with_ids


@dataclass(frozen=True)
class Trials:
    """What forms are run on.

    Args:
        cases: the inputs by case, of ids where there are texts.
        texts: the same for the forms that take texts; empty where none does.
        rows: which rows of the data the rows of each case are; ``None`` of random inputs.
        origin: which data, as plain data; ``None`` where they are of no file.
        notes: what is to be known of them.
    """

    cases: Cases
    texts: Cases = field(default_factory=dict)
    rows: DataRows | None = None
    origin: Mapping[str, Any] | None = None
    notes: Sequence[str] = ()

    def of(self, form: Form) -> Cases:
        """What a form is run on."""
        return self.texts if form.takes_texts else self.cases

    def number(self, case: str, row: int) -> int | None:
        """What the data call a row of a case; ``None`` where the case is the data as they were given."""
        if self.rows is None or case not in self.rows.cases:
            return None
        if len(self.cases) == 1 and self.rows.texts is None:
            return None
        return self.rows.numbers[int(self.rows.cases[case][row])]


@dataclass(frozen=True)
class DataColumns:
    """What of a file is read, see `biport.app.user_data.read_examples`.

    Args:
        text: the column of the texts.
        label: the column of the labels.
        labels: the names of the classes.
    """

    text: str | None = None
    label: str | None = None
    labels: Sequence[str] | None = None

    def check(self, inputs: object) -> None:
        """Refuse columns of what is no file.

        Raises:
            InputError: naming the argument.
        """
        for name in ("text", "label"):
            if getattr(self, name) is not None and not isinstance(inputs, str | os.PathLike):
                raise InputError(
                    Argument(name), " names a column of a file, which ", Argument("inputs"), " gives"
                )


def trials(
    forms: list[Form],
    values: Sequence[Value],
    graph: Graph | None,
    inputs: Inputs | Examples | str | os.PathLike[str] | None,
    columns: DataColumns,
    seed: int,
    random: Callable[[], Cases],
) -> Trials:
    """What forms are run on; those of them that take texts are traced over texts from now on.

    Args:
        forms: all of them.
        values: the inputs of the model.
        graph: the model, where biport reads it.
        inputs: arrays, a file, or what was read of one; ``None`` for random ones.
        columns: what is read of a file.
        seed: of random inputs.
        random: gives these.

    Raises:
        InputError: the inputs do not suit the model, or no form says how ids are made of texts.
        FileError: as `read_examples`.
    """
    columns.check(inputs)
    notes: list[str] = []
    if isinstance(inputs, str | os.PathLike):
        taken = _taken(forms, values, graph)
        inputs = read_examples(inputs, taken, text=columns.text, label=columns.label, labels=columns.labels)
        unsaid = unsaid_lengths(values, taken.tokenizers, taken.masked) if inputs.texts is not None else ""
        notes += [unsaid] if unsaid else []
    if isinstance(inputs, Examples):
        chosen = _of_examples(forms, inputs)
    elif any(form.takes_texts for form in forms):
        chosen = _texts(forms, inputs, seed)
    elif inputs is None:
        chosen = Trials(_suited(forms, random()))
    else:
        chosen = _given(values, in_order([value.name for value in values], inputs))
    if chosen.texts:
        _trace_texts(forms, chosen.texts)
    return dataclasses.replace(chosen, notes=notes)


def _taken(forms: Sequence[Form], values: Sequence[Value], graph: Graph | None) -> Taken:
    """What the model takes, and what any form says of its texts and labels."""
    own = Taken(tuple(values)) if graph is None else taken_by(graph)
    every = [form.taken or taken_by(form.graph) for form in forms if form.taken or form.graph]
    names = {value.name for value in values}
    known = [one.tokenizers for one in every if one.tokenizers and {*one.tokenizers} <= names]
    return dataclasses.replace(
        own,
        tokenizers=own.tokenizers or next(iter(known), {}),
        labels=next((one.labels for one in every if one.labels is not None), None),
    )


def _of_examples(forms: Sequence[Form], examples: Examples) -> Trials:
    count = len(examples.batches)
    names = ["input"] if count == 1 else [f"batch {number} of {count}" for number in range(1, count + 1)]
    speaking = next((form for form in forms if form.takes_texts), None)
    if speaking is not None and examples.sources is None:
        raise InputError(f"{speaking.name}: takes texts, and {examples.origin.path} holds their ids")
    rows = DataRows(
        dict(zip(names, examples.rows, strict=True)),
        examples.numbers,
        examples.texts,
        examples.labels,
        examples.names,
        None if examples.valid is None else dict(zip(names, examples.valid, strict=True)),
        examples.described,
    )
    texts = examples.sources if speaking is not None and examples.sources is not None else []
    return Trials(
        dict(zip(names, examples.batches, strict=True)),
        dict(zip(names, texts, strict=False)),
        rows,
        examples.origin.to_json() | {"rows": len(examples)},
    )


def _given(values: Sequence[Value], arrays: Sequence[np.ndarray]) -> Trials:
    """Arrays that were given: their rows are counted from 1, as those of files are."""
    axis = batch_axis(values[0].shape) if values else None
    shape = np.shape(arrays[0]) if arrays else ()
    count = shape[axis] if axis is not None and axis < len(shape) else 0
    return Trials({"input": arrays}, rows=DataRows({"input": np.arange(count)}, range(1, count + 1)))


def _suited(forms: Sequence[Form], cases: Cases) -> Cases:
    """The random inputs that every form is made for."""
    if all(form.contract is None for form in forms):
        return cases
    return {case: arrays for case, arrays in cases.items() if {*CASES[case][2]} <= {*RIGHT_PADDED}}


def _texts(forms: Sequence[Form], inputs: Inputs | None, seed: int) -> Trials:
    """Texts for the forms that take them, and the ids that they are.

    Raises:
        InputError: ids are given, and a form takes texts.
    """
    graph = next((form.graph for form in forms if form.graph and form.graph.tokenizers), None)
    if graph is None:
        speaking = next(form for form in forms if form.takes_texts)
        raise InputError(f"{speaking.name}: takes texts, and no form says how ids are made of them")
    if inputs is None:
        texts, ids = text_cases(graph, seed)
        return Trials(ids, texts)
    names = [value.name for value in graph.inputs]
    sources = source_names(names, graph.tokenizers)
    given = in_order(sources, inputs)
    read = {one.source for one in graph.tokenizers.values()}
    pairs = zip(sources, given, strict=True)
    texts = {"input": [np.asarray(part, object if name in read else None) for name, part in pairs]}
    ids = with_ids(names, graph.tokenizers, texts["input"])
    return dataclasses.replace(_given(graph.inputs, ids), texts=texts)


def _trace_texts(forms: list[Form], texts: Cases) -> None:
    for position, form in enumerate(forms):
        if form.takes_texts and form.trace is not None:
            forms[position] = dataclasses.replace(form, trace=functools.partial(_traced, form.trace, texts))


def _traced(trace: Callable[[Cases, Graph], Traced], texts: Cases, cases: Cases, graph: Graph) -> Traced:
    return trace({case: texts[case] for case in cases}, graph)


def graph_trials(forms: list[Form], graph: Graph, inputs: Any, columns: DataColumns, seed: int) -> Trials:
    """`trials` of a model that biport reads."""
    return trials(forms, graph.inputs, graph, inputs, columns, seed, lambda: random_cases(graph, seed))
