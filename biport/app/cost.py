"""What a file with smaller numbers gains and what it costs, against the one in float32."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from biport.app.measure import take_turns


@dataclass(frozen=True)
class Cost:
    """A comparison of two files of one model.

    Args:
        precision: of the smaller one.
        bytes: of either, float32 first.
        milliseconds: of either, a batch of the last of the inputs.
        ratio: how many times as fast the smaller one is.
        labels: how many labels there are: rows, or steps of rows.
        equal: how many of them are the same.
        difference: the largest of any output.
        undefined: how many numbers the smaller one gives where the other has NaN, which int8 has none of.
    """

    precision: str
    bytes: tuple[int, int]
    milliseconds: tuple[float, float]
    ratio: float
    labels: int
    equal: int
    difference: float
    undefined: int

    def lines(self) -> list[str]:
        """The comparison for a person."""
        old, new = self.bytes
        share = 100 * self.equal / self.labels if self.labels else 100.0
        size = f"{old / new:.2f} times smaller" if new <= old else f"{new / old:.2f} times larger"
        lines = [
            f"{self.precision}: {new:,} bytes, {size}; "
            f"{self.milliseconds[1]:.2f} ms a batch, {self.ratio:.2f} times as fast as float32",
            f"it costs accuracy: {self.equal:,} of {self.labels:,} labels as before ({share:.2f} %), "
            f"outputs differ by up to {self.difference:.2g}",
        ]
        if self.undefined:
            lines.append(f"it gives {self.undefined:,} numbers where the model has NaN, a mean over no steps")
        return lines

    def to_json(self) -> dict[str, Any]:
        """The comparison as plain data."""
        return dict(vars(self))


def cost(
    session: Any,
    smaller: Any,
    precision: str,
    cases: Mapping[str, Sequence[np.ndarray]],
    seconds: float = 1.0,
) -> Cost:
    """Compare two sessions of one model over ``cases``; the last case is timed.

    Args:
        session: the float32 file; an ``export.Session``.
        smaller: the other one.
        precision: of the other one.
        cases: inputs.
        seconds: how long to time.
    """
    labels, equal, difference, undefined = 0, 0, 0.0, 0
    for arrays in cases.values():
        for one, two in zip(session.run(arrays), smaller.run(arrays), strict=True):
            defined = ~np.isnan(one).any(axis=-1)
            first, second = _labels(one)[defined], _labels(two)[defined]
            labels += first.size
            equal += int((first == second).sum())
            undefined += int((np.isnan(one) & ~np.isnan(two)).sum())
            difference = max(difference, _difference(one, two))
    timed = list(cases.values())[-1]
    times = take_turns(
        {"old": lambda: session.run(timed), "new": lambda: smaller.run(timed)}, seconds=seconds
    )
    sizes = Path(session.path).stat().st_size, Path(smaller.path).stat().st_size
    return Cost(
        precision=precision,
        bytes=sizes,
        milliseconds=(times.median("old"), times.median("new")),
        ratio=times.ratio("old", "new"),
        labels=labels,
        equal=equal,
        difference=difference,
        undefined=undefined,
    )


def _difference(one: np.ndarray, two: np.ndarray) -> float:
    """The largest, where ``one`` is a number; one that is none in ``two`` is infinitely far."""
    apart = (one != two) & ~np.isnan(one)
    distance = np.abs(one[apart] - two[apart])
    return float(np.where(np.isnan(distance), np.inf, distance).max(initial=0))


def _labels(output: np.ndarray) -> np.ndarray:
    """The likeliest class of each row or step; of a single number whether it is above one half."""
    return output.argmax(axis=-1) if output.shape[-1] > 1 else output[..., 0] > 0.5
