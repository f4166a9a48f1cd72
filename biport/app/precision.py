"""Smaller numbers, judged on the rows they are for: which way is taken, and whether limits are kept."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from biport.analysis.text_model import output_activation
from biport.app.cost import Cost, Measured, Small, costs
from biport.app.junit import Suite, gate_case
from biport.app.unread import FEWEST_IDS
from biport.app.user_data import Examples, read_examples
from biport.compare.cases import PATTERNS, RIGHT_PADDED, random_inputs
from biport.compare.gate import Gate, check_limit, missed
from biport.compare.rows import DataRows
from biport.compare.text_cases import text_batch
from biport.errors import Argument, DifferentError, InputError
from biport.graph import Graph
from biport.inputs import batch_axis, row_lengths

Batches = Sequence[Sequence[np.ndarray]]
AUTO = "auto"
METHODS = (AUTO, "weights", "dynamic", "static")
FASTER = 1.1
"""How many times as fast a method has to be that rounds more than another."""
BATCH_SIZE = 32
TIMED = 6
"""Batches of the user's whose time is taken, from the shortest rows to the longest."""
SECONDS = 2.0
"""For which all files together are timed."""
CALIBRATED = 64
"""Batches that show the ranges of fixed 8 bits."""
RANDOM = (64, 12), (64, 40), (64, 90)
"""N and T of random inputs; a batch of the asked size, of 100 steps, is timed."""


@dataclass(frozen=True)
class Limits:
    """What a file with smaller numbers must keep, or it is not kept.

    Args:
        max_accuracy_drop: by how much accuracy may be lower, of 1.
        min_speedup: how many times as fast as float32 it has to be.
        min_agreement: the share of labels that have to be the same.

    Example:
        >>> figures = {"precision": "int8", "method": "weights", "on": "2 rows", "bytes": (8, 2), "parts": {}}
        >>> figures |= {"batch": (2, 9), "milliseconds": (4.0, 5.0), "ratio": 0.8, "shortest": 0.8}
        >>> figures |= {"labels": 2, "equal": 2, "accuracy": None, "difference": 0.01, "undefined": 0}
        >>> cost = Cost(**figures)
        >>> [gate.ok for gate in Limits(min_speedup=1, min_agreement=1).gates(cost)]
        [False, True]
    """

    max_accuracy_drop: float | None = None
    min_speedup: float | None = None
    min_agreement: float | None = None

    def __post_init__(self) -> None:
        check_limit("max_accuracy_drop", self.max_accuracy_drop, -1, 1)
        check_limit("min_speedup", self.min_speedup)
        check_limit("min_agreement", self.min_agreement, 0, 1)

    def gates(self, cost: Cost) -> list[Gate]:
        """A gate for each limit.

        Raises:
            InputError: a limit of what the rows and the model do not have.
        """
        if self.max_accuracy_drop is not None and cost.accuracy is None:
            raise InputError(
                Argument("max_accuracy_drop"), ": needs labelled rows, ", Argument("inputs"), " and ",
                Argument("label"), ", and a model with a label a row",
            )  # fmt: skip
        if self.min_agreement is not None and cost.agreement is None:
            raise InputError(Argument("min_agreement"), " is a share of labels, and the model gives none")
        accuracy = "" if cost.accuracy is None else "{:.4f} became {:.4f}".format(*cost.accuracy)
        old, new = cost.milliseconds
        figures = [
            ("accuracy drop", cost.accuracy_drop, self.max_accuracy_drop, False, accuracy),
            ("speed-up", cost.ratio, self.min_speedup, True, f"{old:.3g} ms a batch became {new:.3g} ms"),
            ("label agreement", cost.agreement, self.min_agreement, True, f"{cost.equal} of {cost.labels}"),
        ]
        return [
            Gate(name, cost.name, figure, limit, least, note)
            for name, figure, limit, least, note in figures
            if limit is not None
        ]


@dataclass(frozen=True)
class Smaller:
    """How a file is made smaller, and what it is judged on.

    Args:
        precision: one of `export.deploy.precision.PRECISIONS`.
        method: of int8, one of `METHODS`; ``"auto"`` tries those that make a difference.
        inputs: a file of the user's rows, or rows that were read; ``None`` for random inputs.
        text: the column of the texts.
        label: of the labels.
        names: what the classes are called, where the model does not say it.
        batch_size: N of the batches whose time is taken.
        limits: what has to be kept.
    """

    precision: str
    method: str = AUTO
    inputs: str | os.PathLike[str] | Examples | None = None
    text: str | None = None
    label: str | None = None
    names: Sequence[str] | None = None
    batch_size: int | None = None
    limits: Limits = Limits()

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise InputError(Argument("int8_method", self.method), f": should be one of {', '.join(METHODS)}")
        if self.method != AUTO and self.precision != "int8":
            raise InputError(
                Argument("method", self.method), ": of ", Argument("precision", "int8"), " alone"
            )
        if self.inputs is None and (self.text is not None or self.label is not None):
            raise InputError(
                Argument("text"), " and ", Argument("label"), " name columns of ", Argument("inputs")
            )
        if self.method == "static" and self.inputs is None:
            raise InputError(
                Argument("method", self.method),
                ": sees the ranges in rows of yours; give ",
                Argument("inputs"),
            )


@dataclass(frozen=True)
class Chosen:
    """The file that was kept.

    Args:
        written: it; an ``export.publish.Written``.
        cost: what it gains and costs.
        tried: that of each file that was tried, this one too.
        gates: of this one.
        why: why it was this one of several, in words.
    """

    written: Any
    cost: Cost
    tried: Sequence[Cost]
    gates: Sequence[Gate]
    why: str


class LimitError(DifferentError):
    """No file with smaller numbers keeps the limits; none was kept.

    Args:
        tried: what each gains and costs.
        gates: of all of them.
    """

    def __init__(self, name: str, tried: Sequence[Cost], gates: Sequence[Gate]) -> None:
        failed = "; ".join(gate.text for gate in missed(gates))
        super().__init__(f"{name} was not kept: {failed}")
        self.name = name
        self.tried = tried
        self.gates = gates

    def lines(self) -> list[str]:
        """All of it for a person."""
        gates = [gate.text for gate in self.gates]
        return [f"{self.name} was not kept", *(line for cost in self.tried for line in cost.lines()), *gates]

    def to_json(self) -> dict[str, Any]:
        """All of it as plain data."""
        return {
            "path": None,
            "kept": False,
            "tried": [cost.to_json() for cost in self.tried],
            "gates": [gate.to_json() for gate in self.gates],
        }


def write_smaller(
    exact: str | os.PathLike[str], output: Path, how: Smaller, *, graph: Graph | None, overwrite: bool
) -> Chosen:
    """Write a float32 file again with smaller numbers: the way that costs least and keeps the limits.

    Of the ways that keep them the one that rounds least is taken, unless another is at least `FASTER` times
    as fast as it.

    Args:
        exact: the float32 file.
        output: the file to write.
        how: what is made of it.
        graph: the model, where biport reads it.
        overwrite: replace a file that is there.

    Raises:
        LimitError: no way keeps the limits.
        InputError: the rows do not suit the model, or a limit is of something they do not have.
        UnsupportedError: the file has nothing that would get smaller.
        FileError: the rows cannot be read, or the file exists.
    """
    import export
    from export.deploy.precision import methods_for, move_written, weights_by_part, write_precision

    session = export.Session(exact, device="cpu")
    measured, calibration = _measured(session, how, graph)
    methods = [how.method]
    if how.precision == "int8" and how.method == AUTO:
        methods = methods_for(exact, calibrated=bool(calibration))
    with tempfile.TemporaryDirectory() as folder:
        written = {
            method: write_precision(
                exact, Path(folder) / f"{method}.onnx", how.precision,
                method="dynamic" if how.precision != "int8" else method, calibration=calibration,
            )
            for method in methods
        }  # fmt: skip
        files = [
            Small(
                export.Session(one.path, device="cpu"),
                how.precision,
                method if how.precision == "int8" else None,
                weights_by_part(one.path),
            )
            for method, one in written.items()
        ]
        tried = costs(session, weights_by_part(exact), files, measured, SECONDS)
        gates = {method: how.limits.gates(cost) for method, cost in zip(methods, tried, strict=True)}
        kept = [at for at, method in enumerate(methods) if not missed(gates[method])]
        if not kept:
            raise LimitError(output.name, tried, [gate for own in gates.values() for gate in own])
        at = choice(tried, kept)
        chosen = methods[at]
        moved = move_written(written[chosen], output, overwrite=overwrite)
    return Chosen(moved, tried[at], tried, gates[chosen], _why(tried, kept, at))


def precision_suite(name: str, tried: Sequence[Cost], gates: Sequence[Gate]) -> Suite:
    """The gates in JUnit's format, with the figures of every file that was tried.

    Args:
        name: of the model.
        tried: what each gains and costs.
        gates: of them.
    """
    return Suite(
        name, [gate_case(gate) for gate in gates], {cost.name: "; ".join(cost.lines()) for cost in tried}
    )


def choice(tried: Sequence[Cost], kept: Sequence[int]) -> int:
    """Which of those that keep the limits is taken, by the shortest calls.

    Args:
        tried: those that round least come first.
        kept: the positions of those that keep the limits.
    """
    best = kept[0]
    for at in kept[1:]:
        if tried[at].shortest >= FASTER * tried[best].shortest:
            best = at
    return best


def _why(tried: Sequence[Cost], kept: Sequence[int], at: int) -> str:
    if len(tried) == 1:
        return ""
    failed = [cost.method or "" for number, cost in enumerate(tried) if number not in kept]
    said = f"{', '.join(failed)} missed a limit; " if failed else ""
    others = [tried[number] for number in kept if number != at]
    ratios = ", ".join(f"{cost.method} {cost.shortest:.2f}" for cost in tried)
    if not others:
        return f"{tried[at].method} was taken: {said}shortest calls, times as fast as float32: {ratios}"
    rule = (
        "at least a tenth faster than what rounds less"
        if at > kept[0]
        else "it rounds least, and none is a tenth faster"
    )
    return f"{tried[at].method} was taken: {said}{rule}; shortest calls, times as fast as float32: {ratios}"


# What files are run on.


def _measured(
    session: Any, how: Smaller, graph: Graph | None
) -> tuple[Measured, Sequence[Sequence[np.ndarray]]]:
    """What files are run on, and what shows the ranges of fixed 8 bits: the user's rows alone."""
    activation = None if graph is None else output_activation(graph, graph.outputs[0])
    size = how.batch_size or BATCH_SIZE
    if how.inputs is None:
        cases = _random(session, graph, size)
        name = [*cases][-1]
        return Measured(cases, [name], "random inputs", None, activation), []
    examples = how.inputs
    if not isinstance(examples, Examples):
        examples = read_examples(examples, session, text=how.text, label=how.label, labels=how.names)
    cases, rows = _batches(session, examples, size)
    stepwise = _stepwise(session)
    full = [name for name, arrays in cases.items() if len(arrays[0]) == size] or [*cases]
    positions = np.linspace(0, len(full) - 1, min(TIMED, len(full))).round().astype(int)
    timed = [full[at] for at in dict.fromkeys(positions.tolist())]
    measured = Measured(cases, timed, examples.described, rows, activation, stepwise)
    return measured, [*cases.values()][:: max(1, len(cases) // CALIBRATED)]


def _batches(session: Any, examples: Examples, size: int) -> tuple[dict[str, list[np.ndarray]], DataRows]:
    """The rows in batches of the asked size, and which rows are in each; a batch whose rows meet is whole."""
    divisible = "biport.rows_meet" not in session.metadata and all(
        batch_axis(value.shape) == 0 and not isinstance(value.shape[0], int) for value in session.input_values
    )
    cases: dict[str, list[np.ndarray]] = {}
    rows: dict[str, np.ndarray] = {}
    valid: dict[str, np.ndarray] = {}
    for number, (arrays, of) in enumerate(zip(examples.batches, examples.rows, strict=True)):
        width = size if divisible else max(1, len(of))
        for start in range(0, max(1, len(of)), width):
            part = slice(start, start + width)
            name = f"batch {len(cases) + 1}"
            cases[name] = [array[part] for array in arrays] if divisible else list(arrays)
            rows[name] = of[part]
            if examples.valid is not None:
                valid[name] = examples.valid[number][part]
    return cases, DataRows(
        rows,
        examples.numbers,
        examples.texts,
        examples.labels,
        examples.names,
        valid or None,
        examples.described,
    )


def _stepwise(session: Any) -> bool:
    """Whether the first output has a label a step."""
    output = session.output_values[0]
    return 1 in session.time_axes.get(output.name, ()) and len(output.shape) > 2


def _random(session: Any, graph: Graph | None, size: int) -> Mapping[str, Sequence[np.ndarray]]:
    """Random inputs that the file takes: texts, or ids and features under every pattern of mask it allows."""
    texts = any(value.dtype == "str" for value in session.input_values)
    patterns = PATTERNS if session.contract is None else RIGHT_PADDED
    lengths = {} if graph is None else row_lengths(graph)
    cases = {}
    for N, T in (*RANDOM, (size, 100)):
        if texts and graph is not None:
            cases[f"{N}x{T}"] = text_batch(graph, False, N, T, seed=0)
            continue
        rng = np.random.default_rng(0)
        cases[f"{N}x{T}"] = random_inputs(
            session.input_values, N, T, rng,
            patterns=patterns, id_bounds=session.id_bounds, unbounded=FEWEST_IDS, rows=lengths,
        )  # fmt: skip
    return cases
