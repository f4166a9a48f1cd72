"""The tolerance policy: when two programs compute the same thing, and which one is at fault.

Every result is measured against the oracle, `biport.reference` in float64, never against another result.

- **L0** weights: equal bit for bit (`biport.graph.weight_differences`).
- **L1** float64: error at most 1e-12. Rounding stays below it and a semantic fault stays above it. Only a
  framework that computes an activation with constants of float32 is allowed what it says of itself.
- **L2** float32: error at most the larger of 4 × the source's own error and 8·eps·sqrt(I + H), with I + H
  the longest sum in the model. The source itself may have 4 × the error of the reference run in float32.
  Where that error is above 5e-7, more than a well-conditioned model shows, the model amplifies rounding,
  and the second bound grows in proportion.
- **L3** gradients in float64, where they are asked for: see `biport.compare.gradients`.

A source in half precision is judged at L2 by what float32 may, in proportion to its numbers, and nobody is
judged by it. In place of L2's bound somebody may say with a number what may be off: see `judge_absolute`.

An error is the largest absolute difference, divided by the largest number of the oracle's output where
that is above 1. Where the reference in float32 is itself off by more than 1e-3, the model amplifies
rounding so much that two correct programs differ visibly: *ill-conditioned*, neither pass nor fail. It is
the reference that is asked, not the source, so that a source read wrongly cannot pass for one. So is a
model whose numbers leave the range of float32.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from biport.graph import Graph, sum_lengths

L1_ALLOWED = 1e-12
WELL_CONDITIONED = 5e-7
"""The most that float32 alone did to well-conditioned models, whatever T, up to 2000 steps."""
ILL_CONDITIONED = 1e-3
FACTOR = 4
ASTRAY = "NaN or infinite numbers in other places"
EPS = float(np.finfo(np.float32).eps)
COARSE_EPS = {"float16": 2.0**-10, "bfloat16": 2.0**-7}
"""Of the floats of 16 bits."""


class Verdict(StrEnum):
    """What a comparison says."""

    SAME = "same"
    DIFFERENT = "different"
    ILL_CONDITIONED = "ill-conditioned"


@dataclass(frozen=True)
class Error:
    """How far one form's output is from the oracle's.

    Args:
        maximum: the largest error; infinite where shapes differ, or which numbers are NaN.
        percentile: 99.9 % of the elements are below it.
        worst: the case and the index of the worst element.
        note: what is wrong when it is not a matter of size.
    """

    maximum: float
    percentile: float
    worst: tuple[str, tuple[int, ...]] = ("", ())
    note: str = ""


def measure(
    results: Mapping[str, np.ndarray], oracle: Mapping[str, np.ndarray], absolute: bool = False
) -> Error:
    """The error of one output over all cases.

    Args:
        results: what a form gave, by case.
        oracle: what the oracle gave, by case. NaN and infinite numbers must be the same ones.
        absolute: do not divide by the largest number of the output.
    """
    errors, worst = [], Error(0.0, 0.0)
    for case, exact in oracle.items():
        array = np.asarray(results[case])
        if array.shape != exact.shape:
            note = f"shape {array.shape} instead of {exact.shape}"
            return Error(math.inf, math.inf, (case, ()), note)
        if exact.size == 0:
            continue
        difference = element_errors(array, exact, absolute)
        astray = np.isinf(difference)
        if astray.any():
            where = tuple(int(i) for i in np.argwhere(astray)[0])
            return Error(math.inf, math.inf, (case, where), ASTRAY)
        errors.append(difference.ravel())
        if not worst.worst[0] or difference.max() > worst.maximum:
            index = np.unravel_index(int(difference.argmax()), difference.shape)
            worst = Error(float(difference.max()), 0.0, (case, tuple(int(i) for i in index)))
    if not errors:
        return worst
    return Error(worst.maximum, float(np.quantile(np.concatenate(errors), 0.999)), worst.worst)


def element_errors(array: np.ndarray, exact: np.ndarray, absolute: bool = False) -> np.ndarray:
    """The error of each number of an output, infinite where NaN or an infinite number is in another position.

    Args:
        array: what a form gave, of the shape of ``exact``.
        exact: what the oracle gave.
        absolute: do not divide by the largest number of the output.

    Example:
        >>> element_errors(np.array([4.5, 1.0, np.nan]), np.array([4.0, np.nan, np.nan])).tolist()
        [0.125, inf, 0.0]
    """
    finite = np.isfinite(exact)
    special = ~finite & ~((array == exact) | (np.isnan(array) & np.isnan(exact)))
    astray = special | (finite & ~np.isfinite(array))
    scale = 1.0 if absolute else max(1.0, float(np.abs(exact[finite]).max(initial=0.0)))
    difference = np.zeros(exact.shape)
    compared = finite & ~astray
    np.subtract(array, exact, out=difference, where=compared, dtype=np.float64, casting="unsafe")
    return np.where(astray, np.inf, np.abs(difference) / scale)


def float32_floor(graph: Graph) -> float:
    """``8·eps·sqrt(I + H)`` for the longest sum in the model: what rounding may always do in float32."""
    return 8 * EPS * math.sqrt(max(sum_lengths(graph), default=1))


def judge_float32(
    error: Error, reference: Error, source: Error | None, floor: float
) -> tuple[Verdict, float]:
    """Verdict and allowance at level L2.

    Args:
        error: the form's.
        reference: of the reference run in float32.
        source: of the form the others were made from; ``None`` when judging the source itself, or when
            the source is at fault and cannot be the yardstick.
        floor: `float32_floor`.
    """
    yardstick = reference if source is None else source
    amplified = floor * max(1.0, reference.maximum / WELL_CONDITIONED)
    allowed = max(FACTOR * yardstick.maximum, amplified)
    return judge(error, reference, allowed), allowed


def judge_coarse(error: Error, reference: Error, precision: str, floor: float) -> tuple[Verdict, float]:
    """Verdict and allowance at level L2 for a form that computes in half precision.

    It may do what float32 may, in proportion to how much coarser its numbers are. One whose numbers leave the
    range of these is neither the same nor different.

    Args:
        error: the form's.
        reference: of the reference run in float32.
        precision: of `COARSE_EPS`.
        floor: `float32_floor`.

    Example:
        >>> verdict, allowed = judge_coarse(Error(1e-3, 1e-3), Error(1e-7, 1e-7), "float16", 3e-6)
        >>> str(verdict), round(allowed, 4)
        ('same', 0.0246)
    """
    _, allowed = judge_float32(error, reference, None, floor)
    allowed *= COARSE_EPS[precision] / EPS
    if error.note == ASTRAY:
        return Verdict.ILL_CONDITIONED, allowed
    return judge(error, reference, allowed), allowed


def judge(error: Error, reference: Error, allowed: float) -> Verdict:
    """Verdict at level L2 where it is known what is allowed.

    Args:
        error: the form's.
        reference: of the reference run in float32.
        allowed: as `judge_float32` said.
    """
    if _unjudged(error, reference):
        return Verdict.ILL_CONDITIONED
    same = error.maximum <= allowed and math.isfinite(error.maximum)
    return Verdict.SAME if same else Verdict.DIFFERENT


def judge_absolute(error: Error, tolerance: float, reference: Error) -> Verdict:
    """The verdict at level L2 where somebody said what may be off, in place of the policy's allowance.

    The same is what is off by that much at most, however ill-conditioned the model is. What is off by more is
    not the same, unless rounding alone can have done it.

    Args:
        error: the form's, absolute.
        tolerance: the largest error that is allowed, in the units of the output.
        reference: of the reference run in float32, as the policy measures it.
    """
    if error.maximum <= tolerance:
        return Verdict.SAME
    return Verdict.ILL_CONDITIONED if _unjudged(error, reference) else Verdict.DIFFERENT


def judge_float64(
    error: Error, allowed: float = L1_ALLOWED, reference: Error | None = None
) -> tuple[Verdict, float]:
    """Verdict and allowance at level L1, for a form whose framework is exact up to ``allowed``.

    What amplifies rounding out of sight in float32 may do so in float64, from 1e-16 to more than 1e-12.

    Args:
        error: the form's.
        allowed: how exact its framework is.
        reference: of the reference run in float32.
    """
    if error.maximum <= allowed:
        return Verdict.SAME, allowed
    unjudged = reference is not None and _unjudged(error, reference)
    return (Verdict.ILL_CONDITIONED if unjudged else Verdict.DIFFERENT), allowed


def _unjudged(error: Error, reference: Error) -> bool:
    """Whether rounding alone can have made this error: the numbers differ, neither their shape nor number."""
    if not math.isfinite(reference.maximum):
        # The model leaves the range of float32, and programs do so at different steps.
        return math.isfinite(error.maximum) or error.note == ASTRAY
    return reference.maximum > ILL_CONDITIONED and math.isfinite(error.maximum)


def labels(probabilities: np.ndarray) -> np.ndarray:
    """The class of each row: ``(N, 1)`` is cut at 0.5, ``(N, O)`` by the largest."""
    if probabilities.shape[-1] == 1:
        return (probabilities[..., 0] > 0.5).astype(int)
    return probabilities.argmax(axis=-1)


def margins(probabilities: np.ndarray) -> np.ndarray:
    """How far each row is from having another label."""
    if probabilities.shape[-1] == 1:
        return np.abs(probabilities[..., 0] - 0.5)
    ranked = np.sort(probabilities, axis=-1)
    return ranked[..., -1] - ranked[..., -2]


def label_agreement(probabilities: np.ndarray, exact: np.ndarray, allowed: float) -> tuple[float, int]:
    """The share of rows with equal labels, and how many differ outside of a margin tie.

    Args:
        probabilities: ``(N, O)``.
        exact: the oracle's.
        allowed: errors up to this are rounding, so a margin below twice that is a tie.
    """
    differ = labels(probabilities) != labels(exact)
    if differ.size == 0:
        return 1.0, 0
    return float(1 - differ.mean()), int((differ & (margins(exact) > 2 * allowed)).sum())
