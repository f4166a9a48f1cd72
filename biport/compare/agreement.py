"""Whether forms of a model give the same labels, and on which rows they do not.

A label is the class with the largest share of a softmax or the largest of its logits, or on which side of
one half a sigmoid is. Rounding may turn a label over where two classes are as good as equal: such a **tie**,
by the margin that `biport.compare.tolerance` allows in float32, counts as the same label, and is counted
beside. Steps that are padding have no label.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from biport.compare.rows import DataRows
from biport.compare.tolerance import labels, margins

SHOWN = 10
"""Rows that differ, of which a table has a line; of more it says how many."""
KEPT = 1000
"""Rows that differ, of which a report has the particulars."""
SUM = 1e-5
"""How far the sum of shares may be from 1: a softmax computed in float32 somewhere inside."""

Layout = Literal["classes", "one", "several", "each"]


@dataclass(frozen=True)
class Scores:
    """How the labels of an output are read.

    Args:
        layout: the largest along the last axis, ``"classes"``; on which side of one half a number is,
            ``"one"`` along a last axis of size 1, ``"several"`` along one of more, which are the label
            together, or ``"each"`` of an output without such an axis.
        logits: whether a number is cut at 0 instead.
        names: what the classes are called.
    """

    layout: Layout
    logits: bool = False
    names: tuple[str, ...] | None = None

    def rows(self, output: np.ndarray) -> np.ndarray:
        """The output as `tolerance.labels` reads it: ``(..., O)``, or ``(..., 1)`` cut at one half."""
        wide = np.asarray(output, "float64")
        if self.layout == "classes":
            return wide
        shares = wide + 0.5 if self.logits else wide
        return shares if self.layout == "one" else shares[..., None]

    def labels(self, rows: np.ndarray) -> np.ndarray:
        """The label of each item along the last axis: its class, or of several a 0 or 1 for each."""
        classes = labels(rows)
        return classes if self.layout == "several" else classes[..., None]

    def item(self, rows: np.ndarray, at: tuple[int, ...]) -> tuple[str, float]:
        """What the label of one item is called, and its share: of several labels that of the least sure."""
        label = self.labels(rows)[at]
        if self.layout == "classes":
            return self._name(int(label[0])), float(rows[at][label[0]])
        shares = np.where(label, rows[at].reshape(label.shape), 1 - rows[at].reshape(label.shape))
        if self.layout != "several":
            return self._name(int(label[0])), float(shares[0])
        chosen = "+".join(self._name(number) for number, one in enumerate(label) if one)
        return chosen or "none", float(shares.min())

    def _name(self, number: int) -> str:
        return str(number) if self.names is None else self.names[number]


def scores_of(
    exact: Sequence[np.ndarray], activation: str | None, own_steps: bool, names: Sequence[str] | None
) -> Scores | str:
    """How the labels of an output are read, or why it has none.

    Args:
        exact: what the oracle gave, by case.
        activation: that the numbers come out of; ``None`` where nobody knows.
        own_steps: whether the last axis of the output is its steps.
        names: what the classes are called, where somebody says.

    Example:
        >>> scores_of([np.array([[0.2, 0.8]])], "softmax", False, ("no", "yes"))
        Scores(layout='classes', logits=False, names=('no', 'yes'))
        >>> scores_of([np.array([[0.2, 3.1]])], "linear", False, None)
        'is linear: numbers, and no shares of classes'
    """
    sizes = {array.shape[-1] for array in exact if array.ndim > 1}
    axis = bool(sizes) and not own_steps
    size = max(sizes) if axis else 1
    known = names is not None and len(names) == max(2, size)
    given = tuple(names) if known and names is not None else None
    alone: Layout = "one" if axis else "each"
    if activation == "sigmoid":
        return Scores("several" if size > 1 else alone, names=given)
    if size > 1 and (_sums_to_one(exact) or _sums_to_one([np.exp(np.minimum(one, 1.0)) for one in exact])):
        return Scores("classes", names=given)
    if size == 1 and activation == "softmax":
        return "is a softmax over one class, which has the share 1 whatever the input"
    if given is not None and size > 1:
        return Scores("classes", names=given)
    if given is not None:
        # Where nobody knows the activation, numbers that are all from 0 to 1 are shares.
        unknown = activation is None and all(((one >= 0) & (one <= 1)).all() for one in exact)
        return Scores(alone, logits=not unknown, names=given)
    return f"is {activation or 'not known to be a softmax'}: numbers, and no shares of classes"


def _sums_to_one(arrays: Sequence[np.ndarray]) -> bool:
    finite = [array for array in arrays if array.size and np.isfinite(array).all()]
    return bool(finite) and all(
        (array >= 0).all() and np.abs(array.sum(-1) - 1).max() <= SUM for array in finite
    )


@dataclass(frozen=True)
class Differing:
    """A row, or a step of one, that has another label.

    Args:
        where: the row in words.
        step: of the row, counted from 0; ``None`` where the row has one label.
        labels: the source's and the form's.
        shares: the share that the source gives its label, and the form its own.
        tie: whether rounding can have turned it over.
        data: where it is, as plain data.
    """

    where: str
    step: int | None
    labels: tuple[str, str]
    shares: tuple[float, float]
    tie: bool
    data: Mapping[str, Any]

    @property
    def text(self) -> str:
        """The row as a line."""
        step = "" if self.step is None else f", step {self.step}"
        (one, other), (share, own) = self.labels, self.shares
        tie = ", a tie" if self.tie else ""
        return f"{self.where}{step}: {one} ({share:.4f}) became {other} ({own:.4f}){tie}"

    def to_json(self) -> dict[str, Any]:
        """As plain data; a share that is not finite is ``null``."""
        shares = [share if np.isfinite(share) else None for share in self.shares]
        return {
            **self.data,
            **({} if self.step is None else {"step": self.step}),
            "labels": list(self.labels),
            "shares": shares,
            "tie": self.tie,
        }


@dataclass(frozen=True)
class Agreement:
    """How the labels of one output of one form go with the source's.

    Args:
        form: its name.
        output: likewise.
        unit: what has a label, ``"row"`` or ``"step"``; or ``"text"`` where that is what is read of a row.
        count: how many were compared, none of them padding; ``None`` where the form does not run, or
            gives other shapes.
        differing: how many of them have another label, ties left out.
        ties: how many have another label, and rounding can have done it.
        classes: how many different labels the source gives.
        rows: those that differ, ties at the end, the first `KEPT`.
        accuracy: the share of labels that are those of the data; ``None`` where these have none.
    """

    form: str
    output: str
    unit: str
    count: int | None
    differing: int = 0
    ties: int = 0
    classes: int = 0
    rows: Sequence[Differing] = ()
    accuracy: float | None = None

    @property
    def share(self) -> float | None:
        """Of what was compared the share with the same label, ties included; ``None`` of nothing."""
        return (self.count - self.differing) / self.count if self.count else None

    @property
    def text(self) -> list[str]:
        """As lines."""
        subject = f"{'texts' if self.unit == 'text' else 'labels'} of {self.form}, {self.output}"
        if self.count is None:
            return [f"{subject}: none, it does not run or gives other shapes"]
        if not self.count:
            return [f"{subject}: none to compare"]
        share = f"{self.count - self.differing} of {self.count} {self.unit}s as in the source"
        ties = (
            f", {self.ties} of them tie{'s' * (self.ties != 1)} that rounding turned over"
            if self.ties
            else ""
        )
        accuracy = "" if self.accuracy is None else f"; accuracy {self.accuracy:.6g}"
        head = f"{subject}: {share} ({self.share:.6g}){ties}{accuracy}"
        lines = [f"  {row.text}" for row in self.rows[:SHOWN]]
        left = self.differing + self.ties - len(lines)
        return [head, *lines, *([f"  and {left} more"] if left else [])]

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "form": self.form,
            "output": self.output,
            "unit": self.unit,
            "compared": self.count,
            "share": self.share,
            "differing": self.differing,
            "ties": self.ties,
            "labels": self.classes,
            "accuracy": self.accuracy,
            "rows": [row.to_json() for row in self.rows],
        }


def agreement(
    form: str,
    output: str,
    scores: Scores,
    given: Mapping[str, np.ndarray] | None,
    exact: Mapping[str, np.ndarray],
    allowed: float,
    *,
    valid: Mapping[str, np.ndarray] | None = None,
    rows: DataRows | None = None,
    stepwise: bool = False,
) -> Agreement:
    """The labels of one output, compared over all cases.

    Args:
        form: whose it is.
        output: what it is called.
        scores: how its labels are read.
        given: what the form gave, by case; ``None`` where it does not run, or gives other shapes.
        exact: what the oracle gave.
        allowed: what rounding may do in float32, as `tolerance.judge_float32` says: a margin of up to twice
            that, in parts of the largest number of the output where that is above 1, is a tie.
        valid: by case which steps are no padding.
        rows: what the rows are, where they are somebody's data.
        stepwise: whether there is a label a step.

    Example:
        >>> scores = Scores("one", names=("no", "yes"))
        >>> exact = {"input": np.array([[0.9], [0.5000001], [0.2]])}
        >>> given = {"input": np.array([[0.4], [0.4999999], [0.2]])}
        >>> result = agreement("small", "y", scores, given, exact, 1e-6)
        >>> result.share, result.differing, result.ties
        (0.6666666666666666, 1, 1)
        >>> print(result.rows[0].text)
        input [0]: yes (0.9000) became no (0.6000)
    """
    unit = "step" if stepwise else "row"
    if given is None or any(given[case].shape != array.shape for case, array in exact.items()):
        return Agreement(form, output, unit, None)
    count, sure, ties, seen = 0, 0, 0, set()
    differing: list[Differing] = []
    for case, array in exact.items():
        own, wanted = scores.rows(given[case]), scores.rows(array)
        differ, tie = _differ(scores, own, wanted, allowed)
        counted = _counted(differ.shape, None if valid is None else valid.get(case))
        count += int(counted.sum())
        sure += int((differ & ~tie & counted).sum())
        ties += int((tie & counted).sum())
        seen |= {tuple(label) for label in np.unique(scores.labels(wanted)[counted], axis=0).tolist()}
        for index in np.argwhere(differ & counted)[: KEPT - len(differing)]:
            at = tuple(int(one) for one in index)
            pair = scores.item(wanted, at), scores.item(own, at)
            differing.append(differing_row(case, at, pair, bool(tie[at]), rows, stepwise))
    differing.sort(key=lambda one: (one.tie, one.data.get("row", 0)))
    accuracy = None if rows is None or stepwise else _accuracy(scores, given, rows)
    return Agreement(form, output, unit, count, sure, ties, len(seen), differing, accuracy)


def _differ(
    scores: Scores, own: np.ndarray, wanted: np.ndarray, allowed: float
) -> tuple[np.ndarray, np.ndarray]:
    """Which items have another label, and for which of them rounding can have done it."""
    finite = np.abs(wanted[np.isfinite(wanted)])
    margin = 2 * allowed * max(1.0, float(finite.max(initial=0.0)))
    nan = np.isnan(own).any(-1) != np.isnan(wanted).any(-1)
    parts = (labels(own) != labels(wanted)) | nan
    sure = parts & (nan | ~(margins(wanted) <= margin))
    if scores.layout != "several":
        return parts, parts & ~sure
    return parts.any(-1), parts.any(-1) & ~sure.any(-1)


def _counted(shape: Sequence[int], valid: np.ndarray | None) -> np.ndarray:
    """Which items count: of steps those that are no padding."""
    counted = np.ones(shape, bool)
    if valid is None or len(shape) < 2 or valid.shape != tuple(shape[:2]):
        return counted
    return counted & valid.reshape(*valid.shape, *(1,) * (len(shape) - 2))


def differing_row(
    case: str,
    at: tuple[int, ...],
    pair: tuple[tuple[str, float], tuple[str, float]],
    tie: bool,
    rows: DataRows | None,
    stepwise: bool,
) -> Differing:
    """One item that has another label.

    Args:
        case: in which it is.
        at: where there.
        pair: the label and the share of the source, and those of the form.
        tie: whether rounding can have done it.
        rows: what the rows are, where they are somebody's data.
        stepwise: whether there is a label a step.
    """
    (label, share), (other, own) = pair
    step = at[1] if stepwise else None
    if rows is None:
        data: dict[str, Any] = {"case": case, "index": list(at)}
        return Differing(f"{case} {list(at)}", None, (label, other), (share, own), tie, data)
    row = int(rows.cases[case][at[0]])
    data = {"row": rows.numbers[row]} | ({} if rows.texts is None else {"text": rows.texts[row]})
    return Differing(rows.text_of(row), step, (label, other), (share, own), tie, data)


def _accuracy(scores: Scores, given: Mapping[str, np.ndarray], rows: DataRows) -> float | None:
    """The share of rows with the label that the data have; ``None`` where these have none of this kind."""
    if rows.labels is None or scores.layout == "several":
        return None
    own = {case: scores.labels(scores.rows(array)) for case, array in given.items()}
    if any(array.ndim != 2 for array in own.values()):
        return None
    return float((np.concatenate(rows.in_order(own)) == rows.labels).mean())
