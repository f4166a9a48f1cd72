"""What files with smaller numbers gain and cost, against the one in float32: measured, on given rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from biport.app.measure import take_turns
from biport.compare.agreement import Agreement, Scores, agreement, scores_of
from biport.compare.rows import DataRows
from biport.compare.tolerance import EPS

Cases = Mapping[str, Sequence[np.ndarray]]
BUSY = 1.25
"""By what factor the two ratios are apart on a machine that does something else as well."""


@dataclass(frozen=True)
class Measured:
    """What two files are run on.

    Args:
        cases: inputs of both.
        timed: the cases whose time is taken.
        described: the rows in words.
        rows: what the rows are, where they are somebody's data.
        activation: that the numbers of the first output come out of, where that is known.
        stepwise: whether the first output has a label a step.
    """

    cases: Cases
    timed: Sequence[str]
    described: str
    rows: DataRows | None = None
    activation: str | None = None
    stepwise: bool = False

    @property
    def batch(self) -> tuple[int, int]:
        """Rows of a timed batch, and steps at most; 0 steps where it has no second axis."""
        first = [self.cases[name][0] for name in self.timed]
        return max(len(array) for array in first), max(
            (array.shape[1] for array in first if array.ndim > 1), default=0
        )


@dataclass(frozen=True)
class Cost:
    """A comparison of two files of one model.

    Args:
        precision: of the smaller one.
        method: how it came to be int8, see `export.deploy.precision.write_precision`; ``None`` of others.
        on: which rows they were run on, in words.
        bytes: of either, float32 first.
        batch: rows and steps of the largest batch that was timed.
        milliseconds: of either, the mean batch.
        ratio: how many times as fast the smaller one is: the median of turns.
        shortest: the same of the shortest calls, which say what either costs where nothing disturbs it.
        labels: how many labels there are: rows, or steps of rows; 0 where outputs are no labels.
        equal: how many of them are the same, ties of rounding left out.
        accuracy: of either, where the rows are labelled.
        difference: the largest of any output.
        undefined: how many numbers the smaller one gives where the other has NaN.
        parts: bytes of the weights of each part of the model in either file, the largest first.
    """

    precision: str
    method: str | None
    on: str
    bytes: tuple[int, int]
    batch: tuple[int, int]
    milliseconds: tuple[float, float]
    ratio: float
    shortest: float
    labels: int
    equal: int
    accuracy: tuple[float, float] | None
    difference: float
    undefined: int
    parts: Mapping[str, tuple[int, int]]

    @property
    def name(self) -> str:
        """What it is called."""
        return self.precision if self.method is None else f"{self.precision} ({self.method})"

    @property
    def agreement(self) -> float | None:
        """The share of labels that are the same; ``None`` where there are none."""
        return self.equal / self.labels if self.labels else None

    @property
    def accuracy_drop(self) -> float | None:
        """By how much accuracy is lower; ``None`` where no rows are labelled."""
        return None if self.accuracy is None else self.accuracy[0] - self.accuracy[1]

    def lines(self) -> list[str]:
        """The comparison for a person."""
        old, new = self.bytes
        size = f"{old / new:.2f} times smaller" if new <= old else f"{new / old:.2f} times larger"
        rows, steps = self.batch
        batch = f"{rows} row{'s' * (rows != 1)}" + (f" of up to {steps} steps" if steps else "")
        lines = [
            f"{self.name}: {new:,} bytes, {size}; {self.milliseconds[1]:.3g} ms for {batch}, "
            f"{self.ratio:.2f} times as fast as float32 ({self.milliseconds[0]:.3g} ms)",
            f"on {self.on}: {self._labels()}, outputs differ by up to {self.difference:.2g}",
        ]
        if not 1 / BUSY < self.ratio / self.shortest < BUSY:
            lines.append(f"the machine was busy: the shortest calls are {self.shortest:.2f} times as fast")
        if self.parts:
            parts = list(self.parts.items())
            shown = [f"{name} {one:,} to {two:,}" for name, (one, two) in parts[:4]]
            rest = f", and {len(parts) - 4} smaller" if len(parts) > 4 else ""
            lines.append(f"bytes of weights: {', '.join(shown)}{rest}")
        if self.undefined:
            lines.append(f"it gives {self.undefined:,} numbers where the model has NaN, a mean over no steps")
        return lines

    def _labels(self) -> str:
        share = self.agreement
        labels = (
            "outputs are no labels"
            if share is None
            else (f"{self.equal:,} of {self.labels:,} labels as before ({100 * share:.2f} %)")
        )
        if self.accuracy is None:
            return labels
        old, new = self.accuracy
        return f"{labels}, accuracy {old:.4f} became {new:.4f}"

    def to_json(self) -> dict[str, Any]:
        """The comparison as plain data; an infinite difference is ``null``."""
        finite = self.difference if np.isfinite(self.difference) else None
        more = {"agreement": self.agreement, "accuracy_drop": self.accuracy_drop, "difference": finite}
        return dict(vars(self)) | more


@dataclass(frozen=True)
class Small:
    """A file with smaller numbers that is to be measured.

    Args:
        session: it, opened; an ``export.Session``.
        precision: its.
        method: of int8.
        parts: bytes of its weights by part of the model.
    """

    session: Any
    precision: str
    method: str | None
    parts: Mapping[str, int]


def costs(
    exact: Any, parts: Mapping[str, int], files: Sequence[Small], measured: Measured, seconds: float = 1.0
) -> list[Cost]:
    """Compare the float32 file with others; their times are taken in turn.

    Args:
        exact: the float32 file; an ``export.Session``.
        parts: bytes of its weights by part of the model.
        files: the others.
        measured: what they are run on.
        seconds: how long to time.
    """
    wanted = _run(exact, measured.cases)
    sessions = {"float32": exact} | {str(number): file.session for number, file in enumerate(files)}
    timed = [measured.cases[name] for name in measured.timed]
    times = take_turns(
        {name: lambda one=one: [one.run(arrays) for arrays in timed] for name, one in sessions.items()},
        seconds=seconds,
    )
    old = times.median("float32") / len(timed)
    return [
        _cost(
            file,
            measured,
            wanted,
            (Path(exact.path).stat().st_size, Path(file.session.path).stat().st_size),
            (old, times.median(str(number)) / len(timed)),
            (times.ratio("float32", str(number)), times.best_ratio("float32", str(number))),
            {name: (size, file.parts.get(name, 0)) for name, size in parts.items()},
        )
        for number, file in enumerate(files)
    ]


def _run(session: Any, cases: Cases) -> dict[str, list[np.ndarray]]:
    return {case: session.run(arrays) for case, arrays in cases.items()}


def _cost(
    file: Small,
    measured: Measured,
    wanted: Mapping[str, Sequence[np.ndarray]],
    sizes: tuple[int, int],
    milliseconds: tuple[float, float],
    ratios: tuple[float, float],
    parts: Mapping[str, tuple[int, int]],
) -> Cost:
    given = _run(file.session, measured.cases)
    pairs = [pair for case in wanted for pair in zip(wanted[case], given[case], strict=True)]
    pairs = [pair for pair in pairs if pair[0].dtype.kind == "f"]
    own = _labels_of(measured, wanted, given)
    before = _labels_of(measured, wanted, wanted)
    scored = own is not None and own.accuracy is not None
    unlabelled = sum(_nowhere(wanted[case][0], given[case][0]) for case in wanted) if own is not None else 0
    count = 0 if own is None else (own.count or 0) - unlabelled
    return Cost(
        precision=file.precision,
        method=file.method,
        on=measured.described,
        bytes=sizes,
        batch=measured.batch,
        milliseconds=milliseconds,
        ratio=ratios[0],
        shortest=ratios[1],
        labels=count,
        equal=0 if own is None else count - own.differing,
        accuracy=(before.accuracy, own.accuracy) if scored else None,  # type: ignore[union-attr,arg-type]
        difference=max((_difference(one, two) for one, two in pairs), default=0.0),
        undefined=sum(
            int((np.isnan(one) & ~np.isnan(two)).sum()) for one, two in pairs if one.dtype.kind == "f"
        ),
        parts=parts,
    )


def _labels_of(
    measured: Measured,
    wanted: Mapping[str, Sequence[np.ndarray]],
    given: Mapping[str, Sequence[np.ndarray]],
) -> Agreement | None:
    """How the labels of the first output go together; ``None`` where it has none."""
    exact = {case: arrays[0] for case, arrays in wanted.items()}
    scores = _scores(measured, [*exact.values()])
    if scores is None:
        return None
    rows = measured.rows
    valid = rows.valid if rows is not None and measured.stepwise else None
    return agreement(
        "", "", scores, {case: arrays[0] for case, arrays in given.items()}, exact, EPS,
        valid=valid, rows=rows, stepwise=measured.stepwise,
    )  # fmt: skip


def _scores(measured: Measured, exact: Sequence[np.ndarray]) -> Scores | None:
    """How labels are read: logits are shares of classes as well, and so is a number that the rows label."""
    if any(array.dtype.kind != "f" for array in exact):
        return None
    labelled = measured.rows is not None and measured.rows.labels is not None
    known = scores_of(exact, measured.activation, False, None)
    if isinstance(known, Scores):
        return known
    if exact[0].ndim > 1 and exact[0].shape[-1] > 1:
        return Scores("classes")
    return Scores("one" if exact[0].ndim > 1 else "each", logits=True) if labelled else None


def _nowhere(one: np.ndarray, two: np.ndarray) -> int:
    """How many rows or steps have a label in neither: they are NaN."""
    return int((np.isnan(one).any(axis=-1) & np.isnan(two).any(axis=-1)).sum()) if one.ndim > 1 else 0


def _difference(one: np.ndarray, two: np.ndarray) -> float:
    """The largest, where ``one`` is a number; one that is none in ``two`` is infinitely far."""
    apart = (one != two) & ~np.isnan(one)
    distance = np.abs(one[apart] - two[apart])
    return float(np.where(np.isnan(distance), np.inf, distance).max(initial=0))
