"""Whether forms of one model have one gradient: level L3 of the tolerance policy.

The loss is ``Σ <output, cotangent>`` with random cotangents, the same for every form, in float64 and at
inference. A framework's own derivative is asked for, and compared

- with slopes of the numpy reference (`biport.compare.finite_differences`), along one random direction of
  each weight, to 1e-6, so that the form at fault is named;
- number by number with that of the first form the slopes find nothing wrong with, to 1e-10.

An error is the difference divided by the largest gradient of that weight (for slopes: the root of the sum
of their squares), or by 1e-4 of the largest of all weights where that is more: what is nothing but rounding
beside the others has no digits to compare.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce

import numpy as np

from biport import reference
from biport.compare.finite_differences import Cotangents, Gradient, Slopes
from biport.compare.report import Line
from biport.compare.tolerance import L1_ALLOWED, Error, Verdict, judge_float64
from biport.dims import Dim
from biport.errors import BiportError, WeightError
from biport.graph import Graph
from biport.inputs import batch_axis, row_lengths
from biport.ops import Cell, Op

SLOPES_ALLOWED = 1e-6
FORMS_ALLOWED = 1e-10
FLOAT32_ALLOWED = 1e-4
"""Where a form has float32 only."""
LEAST = 1e-4
"""Of the largest gradient: the least that errors are divided by."""
LEVEL = "L3"

Arrays = Sequence[np.ndarray]
Differentiate = Callable[[Arrays, Cotangents], Gradient]
"""``(inputs, cotangents) -> (loss, {path: array})``: a side's ``gradients`` of one model."""


@dataclass(frozen=True)
class Differentiated:
    """A form that has gradients.

    Args:
        name: what the report calls it.
        gradients: its framework's.
        allowed: how exact its framework is, in float64 where nothing else is noted.
        note: why it may be off by more.
    """

    name: str
    gradients: Differentiate
    allowed: float = L1_ALLOWED
    note: str = ""


@dataclass
class _Errors:
    """Errors by case and weight; the worst of them, and how many weights are at fault."""

    against: str
    errors: dict[tuple[str, str], tuple[float, tuple[int, ...]]] = field(default_factory=dict)

    def add(self, case: str, path: str, error: float, index: Iterable[int] = ()) -> None:
        """One weight of one case."""
        self.errors[case, path] = error, tuple(index)

    def error(self, allowed: float) -> Error:
        """All of them as the error of a line, which names the worst weight."""
        if not self.errors:
            return Error(0.0, 0.0, note="no weights")
        (case, path), (worst, index) = max(self.errors.items(), key=lambda item: item[1][0])
        wrong = {path for (_, path), (error, _) in self.errors.items() if not error <= allowed}
        others = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        sizes = [error for error, _ in self.errors.values()]
        percentile = float(np.quantile(sizes, 0.999)) if math.isfinite(worst) else math.inf
        return Error(worst, percentile, (case, index), f"{path}{others}, against {self.against}")


def gradient_lines(
    forms: Sequence[Differentiated],
    graph: Graph,
    cases: Mapping[str, Arrays],
    rounding: Error,
    seed: int,
    notes: list[str],
) -> list[Line]:
    """For each form its loss, and its gradient against the slopes and against another form's.

    Args:
        forms: those that have gradients.
        graph: the source's.
        cases: inputs by case.
        rounding: what float32 does to the reference, the worst output's; see `judge_float64`.
        seed: of cotangents and directions.
        notes: gets what could not be compared.
    """
    exact = graph.astype("float64")
    cases = _finite(exact, cases, notes)
    slopes = {case: Slopes(exact, arrays, seed) for case, arrays in cases.items()}
    wide = {case: [_double(array) for array in arrays] for case, arrays in cases.items()}
    by_form = {form.name: _differentiate(form, wide, slopes) for form in forms}
    lines: list[Line] = []
    yardstick: Differentiated | None = None
    for form in forms:
        gradients = by_form[form.name]
        if isinstance(gradients, str):
            note = Error(math.inf, math.inf, note=gradients)
            lines.append(Line(form.name, "gradients", LEVEL, Verdict.DIFFERENT, note, SLOPES_ALLOWED))
            continue
        of_slopes = max(SLOPES_ALLOWED, form.allowed)
        own = [
            _line(form.name, "loss", _losses(gradients, slopes), form.allowed, rounding),
            _line(form.name, "gradients", _against_slopes(gradients, slopes, exact), of_slopes, rounding),
        ]
        lines += own
        if yardstick is not None:
            allowed = max(FORMS_ALLOWED, form.allowed, yardstick.allowed)
            other = by_form[yardstick.name]
            assert not isinstance(other, str)
            compared = _against_form(gradients, other, exact, yardstick.name)
            lines.append(_line(form.name, "gradients", compared, allowed, rounding))
        elif all(line.verdict is not Verdict.DIFFERENT for line in own):
            yardstick = form
    return lines


def _line(form: str, output: str, errors: _Errors, allowed: float, rounding: Error) -> Line:
    error = errors.error(allowed)
    verdict, allowed = judge_float64(error, allowed, rounding)
    return Line(form, output, LEVEL, verdict, error, allowed)


def _double(array: np.ndarray) -> np.ndarray:
    return array.astype("float64") if array.dtype.kind == "f" else array


def _finite(graph: Graph, cases: Mapping[str, Arrays], notes: list[str]) -> dict[str, Arrays]:
    """The rows whose outputs are finite: there is no gradient where a mean is over no steps."""
    finite: dict[str, Arrays] = {}
    axes = [_rows(graph, value.shape) for value in graph.inputs]
    # The rows that are left need no longer be as long as there are steps.
    whole = bool(row_lengths(graph))
    for case, arrays in cases.items():
        outputs = zip(graph.outputs, reference.run(graph, arrays), strict=True)
        rows = reduce(np.logical_and, (_finite_rows(graph, name, array) for name, array in outputs))
        if rows.all():
            finite[case] = arrays
            continue
        kept = not whole and rows.ndim > 0 and rows.any()
        number = (~rows).sum() if kept else "all"
        notes.append(f"gradients without {number} rows of {case!r}, whose outputs are not finite")
        if kept:
            finite[case] = [
                array if axis is None else np.compress(rows, array, axis)
                for axis, array in zip(axes, arrays, strict=True)
            ]
    return finite


def _rows(graph: Graph, shape: Sequence[Dim]) -> int | None:
    """On which axis something of this shape has the rows of the graph's inputs, if on any."""
    first, axis = graph.inputs[0].shape, batch_axis(shape)
    own = batch_axis(first)
    return axis if axis is not None and own is not None and shape[axis] == first[own] else None


def _finite_rows(graph: Graph, name: str, array: np.ndarray) -> np.ndarray:
    """Which rows of an output are finite; of one without rows, whether all of it is."""
    rows = _rows(graph, graph.tensors[name].shape)
    return np.asarray(np.isfinite(array).all(axis=tuple(axis for axis in range(array.ndim) if axis != rows)))


def _differentiate(
    form: Differentiated, cases: Mapping[str, Arrays], slopes: Mapping[str, Slopes]
) -> dict[str, Gradient] | str:
    """Its gradients by case, or what went wrong."""
    try:
        return {case: form.gradients(arrays, slopes[case].cotangents) for case, arrays in cases.items()}
    except WeightError as error:
        return f"as gradients, {error}"
    except BiportError as error:
        return str(error)
    except Exception as error:  # As for its outputs: a foreign runtime may raise anything.
        return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"


def _losses(gradients: Mapping[str, Gradient], slopes: Mapping[str, Slopes]) -> _Errors:
    errors = _Errors("the reference")
    for case, (loss, _) in gradients.items():
        errors.add(case, "loss", _ratio(abs(loss - slopes[case].loss), slopes[case].size))
    return errors


def _against_slopes(gradients: Mapping[str, Gradient], slopes: Mapping[str, Slopes], graph: Graph) -> _Errors:
    errors = _Errors("slopes of the reference")
    alone, sums = _biases(graph)
    for case, (_, gradient) in gradients.items():
        measured = slopes[case]
        shapes = measured.shapes
        least = LEAST * max((abs(measured[path].central) for path in shapes), default=0.0)
        wanted = {path: path for path in shapes} | {path: sums.get(path, path) for path in gradient}
        for path, truth in wanted.items():
            if path in alone and path not in gradient:
                continue
            if truth not in shapes or path not in gradient or gradient[path].shape != shapes[truth]:
                errors.add(case, path, math.inf)
                continue
            slope = measured[truth]
            own = max(float(np.linalg.norm(gradient[path])), abs(slope.central))
            scale = max(own, least, slope.noise / SLOPES_ALLOWED)
            distance = slope.distance(gradient[path], SLOPES_ALLOWED * scale)
            errors.add(case, path, _ratio(distance, scale))
    return errors


def _against_form(
    gradients: Mapping[str, Gradient], other: Mapping[str, Gradient], graph: Graph, name: str
) -> _Errors:
    errors = _Errors(name)
    _, sums = _biases(graph)
    for case, (_, gradient) in gradients.items():
        exact = other[case][1]
        least = LEAST * max((_largest(array) for array in exact.values()), default=0.0)
        for path, array in gradient.items():
            twin = exact.get(path, exact.get(sums.get(path, path)))
            # What only one of them has, or has in another shape, the slopes have told.
            if twin is None or twin.shape != array.shape or array.size == 0:
                continue
            difference = np.abs(array - twin)
            index = np.unravel_index(int(difference.argmax()), array.shape)
            scale = max(_largest(twin), least)
            errors.add(case, path, _ratio(float(difference.max()), scale), map(int, index))
    return errors


def _biases(graph: Graph) -> tuple[set[str], dict[str, str]]:
    """Of cells whose two biases act as their sum: second ones, and the first ones that have their gradient.

    A framework may keep the sum alone, as Keras does, whose gradient is that of either.
    """
    alone, sums = set(), {}
    for node in graph.nodes:
        for path, cell in _cells(node.name, node.op):
            for gate in cell.gates if cell.one_bias else ():
                second, first = f"{path}.bias_hh.{gate}", f"{path}.bias_ih.{gate}"
                alone.add(second)
                sums |= {second: first} if cell.bias_hh is None else {}
    return alone, sums


def _cells(path: str, op: Op) -> Iterable[tuple[str, Cell]]:
    if isinstance(op, Cell):
        yield path, op
    for name, part in op.parts().items():
        yield from _cells(f"{path}.{name}", part)


def _largest(array: np.ndarray) -> float:
    return float(np.abs(array).max(initial=0.0))


def _ratio(difference: float, scale: float) -> float:
    return 0.0 if difference == 0 else difference / scale if scale else math.inf
