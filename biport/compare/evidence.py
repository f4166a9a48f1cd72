"""What a comparison leaves for people to look at: small, however much was compared.

How large the errors of an output are, under which pattern of mask, at which steps, and the row with the
worst of them. Gathered case by case, so that no more than one array of errors is in memory.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from biport.compare.cases import pattern_names
from biport.compare.tolerance import Error, element_errors
from biport.dims import Dim
from biport.graph import Graph, Node, Value
from biport.inputs import batch_axis, time_axis
from biport.ops import same_dim

DECADES = (-20, 4)
"""The powers of ten between which errors are counted; what is beyond counts in the last bin on that side."""
BINS_PER_DECADE = 4
LONGEST = 192
"""Of a course and of an example: so many points are kept at the most."""


@dataclass(frozen=True)
class View:
    """How an output lies: where its rows and steps are, and which mask its rows are under.

    Args:
        rows: the axis of the rows; ``None`` of an output without axes.
        steps: the axis of the steps; ``None`` where there are none.
        mask: the value of the graph, bool ``(N, T)``; ``None`` where there is none.
        own_steps: whether these T steps are the output's own.
    """

    rows: int | None
    steps: int | None
    mask: str | None = None
    own_steps: bool = False


@dataclass(frozen=True)
class Example:
    """The row that has the worst error of an output.

    Args:
        case: the name of the inputs.
        index: of the worst number in the output.
        axis: of the output, along which it is drawn.
        along: what that is: ``"step"``, ``"unit"``, or ``"row"`` of an output ``(N,)``.
        worst: the number of the worst of them.
        start: the number of the first of them; long ones are cut around the worst.
        exact: what the oracle gives along that axis, at ``index`` in all others.
        given: what the form gives.
        errors: of each; of a step the largest of all its units.
        mask: which steps are valid; ``None`` where no mask is known.
        own_mask: whether the mask is of the steps that are drawn; otherwise it is of steps of an input, from
            the first on.
    """

    case: str
    index: tuple[int, ...]
    axis: int
    along: str
    worst: int
    start: int
    exact: tuple[float, ...]
    given: tuple[float, ...]
    errors: tuple[float, ...]
    mask: tuple[bool, ...] | None = None
    own_mask: bool = False


@dataclass(frozen=True)
class Evidence:
    """The errors of one output of one form.

    Args:
        numbers: how many were compared.
        equal: how many of them have no error at all.
        astray: how many are NaN or infinite where the oracle's are not, or the other way round.
        histogram: how many errors are in each bin, see `bin_edges`; without ``equal`` and ``astray``.
        cases: the largest error under each of the inputs.
        patterns: the largest error of the rows with each pattern of mask; empty where no mask is known.
        courses: the largest error at each step, by pattern, or by case where no mask is known; empty of an
            output without steps.
        stride: how many steps one point of a course stands for.
        example: the row with the worst error.
    """

    numbers: int
    equal: int
    astray: int
    histogram: tuple[int, ...]
    cases: Mapping[str, float]
    patterns: Mapping[str, float] = field(default_factory=dict)
    courses: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    stride: int = 1
    example: Example | None = None


def bin_edges() -> np.ndarray:
    """The edges of the bins of a histogram, as powers of ten."""
    first, last = DECADES
    return np.linspace(first, last, (last - first) * BINS_PER_DECADE + 1)


def graph_views(graph: Graph) -> list[View]:
    """How each output of a graph lies, and under which mask.

    The mask of an output is the one over its own steps that was last used before it, or, where there is
    none, the last of any.
    """
    makers = {name: node for node in graph.nodes for name in node.outputs}
    views = plain_views(graph.inputs, [graph.tensors[name].shape for name in graph.outputs])
    return [_with_mask(graph, makers, name, view) for name, view in zip(graph.outputs, views, strict=True)]


def plain_views(inputs: Sequence[Value], shapes: Sequence[Sequence[Dim]]) -> list[View]:
    """How outputs of these shapes lie, where nothing is known of masks."""
    lengths = [value.shape[axis] for value in inputs if (axis := time_axis(value.shape)) is not None]
    return [View(batch_axis(shape), _steps_axis(shape, lengths)) for shape in shapes]


def _steps_axis(shape: Sequence[Dim], lengths: Sequence[Dim]) -> int | None:
    """The first axis that varies, or is as long as an input has steps; features come last of three."""
    rows = batch_axis(shape)
    others = [axis for axis in range(len(shape)) if axis != rows]
    varying = [axis for axis in others if not isinstance(shape[axis], int)]
    fixed = [axis for axis in others[:-1] if any(same_dim(shape[axis], length) for length in lengths)]
    return next(iter((*varying, *fixed)), None)


def _with_mask(graph: Graph, makers: Mapping[str, Node], name: str, view: View) -> View:
    shape = graph.tensors[name].shape
    masks = [mask for mask in _masks_before(makers, name) if _of_rows(graph, mask, shape, view)]
    if view.steps is not None:
        for mask in masks:
            if same_dim(graph.tensors[mask].shape[1], shape[view.steps]):
                return View(view.rows, view.steps, mask, own_steps=True)
    return View(view.rows, view.steps, masks[0]) if masks else view


def _of_rows(graph: Graph, mask: str, shape: Sequence[Dim], view: View) -> bool:
    return view.rows is not None and same_dim(graph.tensors[mask].shape[0], shape[view.rows])


def _masks_before(makers: Mapping[str, Node], name: str) -> Iterator[str]:
    """The masks that a value hangs on, the last ones first."""
    waiting, seen = deque([name]), {name}
    while waiting:
        node = makers.get(waiting.popleft())
        if node is None:
            continue
        yield from (mask for mask in node.masks if mask is not None)
        waiting += (fresh := dict.fromkeys(value for value in node.inputs if value not in seen))
        seen |= {*fresh}


def gather(
    results: Mapping[str, np.ndarray],
    oracle: Mapping[str, np.ndarray],
    error: Error,
    view: View,
    masks: Mapping[str, np.ndarray],
    absolute: bool = False,
) -> Evidence | None:
    """The evidence of one output, or ``None`` where it has another shape than it should.

    Args:
        results: what a form gave, by case.
        oracle: what the oracle gave, by case.
        error: what `measure` says of them.
        view: how the output lies.
        masks: by case, bool ``(N, T)``; empty where none is known.
        absolute: as for `measure`.
    """
    if any(np.shape(results[case]) != exact.shape for case, exact in oracle.items()):
        return None
    tally, example = _Tally(view), None
    for case, exact in oracle.items():
        given = np.asarray(results[case])
        errors = element_errors(given, exact, absolute)
        tally.add(case, errors, masks.get(case))
        if case == error.worst[0] and error.worst[1]:
            example = _example(error, (exact, given, errors), view, masks.get(case))
    return tally.evidence(example)


class _Tally:
    """Counts and maxima, of one array of errors after the other."""

    def __init__(self, view: View) -> None:
        self.view = view
        self.numbers = self.equal = self.astray = 0
        self.histogram = np.zeros(len(bin_edges()) - 1, int)
        self.cases: dict[str, float] = {}
        self.patterns: dict[str, float] = {}
        self.courses: dict[str, np.ndarray] = {}

    def add(self, case: str, errors: np.ndarray, mask: np.ndarray | None) -> None:
        if errors.size == 0:
            return
        counted = errors[(errors > 0) & np.isfinite(errors)]
        self.numbers += errors.size
        self.equal += int((errors == 0).sum())
        self.astray += int(np.isinf(errors).sum())
        edges = bin_edges()
        np.log10(counted, out=counted)
        self.histogram += np.histogram(np.clip(counted, *DECADES, out=counted), edges)[0]
        self.cases[case] = float(errors.max())
        by_row = self._by_row(errors)
        if mask is None or len(mask) != len(by_row):
            self._add_course(case, by_row)
            return
        names = pattern_names(mask)
        for name in dict.fromkeys(names.tolist()):
            rows = by_row[names == name]
            self.patterns[name] = max(self.patterns.get(name, 0.0), float(rows.max()))
            self._add_course(name, rows)

    def _by_row(self, errors: np.ndarray) -> np.ndarray:
        """The largest errors ``(N, T)``; of an output without steps or rows these are 1."""
        kept = [axis for axis in (self.view.rows, self.view.steps) if axis is not None]
        turned = np.moveaxis(errors, kept, range(len(kept)))
        N = turned.shape[0] if self.view.rows is not None else 1
        T = errors.shape[self.view.steps] if self.view.steps is not None else 1
        return turned.reshape(N, T, -1).max(axis=2)

    def _add_course(self, name: str, rows: np.ndarray) -> None:
        if self.view.steps is None:
            return
        course = rows.max(axis=0)
        before = self.courses.get(name, np.zeros(0))
        longer, shorter = sorted((before, course), key=len, reverse=True)
        longer = longer.copy()
        longer[: len(shorter)] = np.maximum(longer[: len(shorter)], shorter)
        self.courses[name] = longer

    def evidence(self, example: Example | None) -> Evidence:
        """All of it."""
        stride = math.ceil(max(map(len, self.courses.values()), default=1) / LONGEST)
        return Evidence(
            self.numbers,
            self.equal,
            self.astray,
            tuple(self.histogram.tolist()),
            self.cases,
            self.patterns,
            {
                name: tuple(np.maximum.reduceat(course, range(0, len(course), stride)).tolist())
                for name, course in self.courses.items()
            },
            stride,
            example,
        )


def _example(
    error: Error,
    arrays: tuple[np.ndarray, np.ndarray, np.ndarray],
    view: View,
    mask: np.ndarray | None,
) -> Example:
    """The row with the worst error, of what the oracle gave, what the form gave, and the errors."""
    exact, given, errors = arrays
    case, index = error.worst
    axis, along = _drawn_axis(view, exact.ndim)
    if along == "step":
        # The others of the same row; which of them is worst differs from step to step.
        row = errors if view.rows is None else np.take(errors, [index[view.rows]], view.rows)
        line = row.max(axis=tuple(other for other in range(exact.ndim) if other != axis))
    else:
        line = errors[_beside(index, axis)]
    window = _window(index[axis], exact.shape[axis])
    valid = _row_mask(mask, index, view, window)
    return Example(
        case,
        index,
        axis,
        along,
        index[axis],
        window.start,
        _numbers(exact[_beside(index, axis)][window]),
        _numbers(given[_beside(index, axis)][window]),
        _numbers(line[window]),
        valid,
        view.own_steps and valid is not None,
    )


def _numbers(array: np.ndarray) -> tuple[float, ...]:
    return tuple(array.astype(float).tolist())


def _drawn_axis(view: View, rank: int) -> tuple[int, str]:
    if view.steps is not None:
        return view.steps, "step"
    return rank - 1, "row" if view.rows == rank - 1 else "unit"


def _beside(index: tuple[int, ...], axis: int) -> tuple[int | slice, ...]:
    """What stands beside a number along an axis."""
    return (*index[:axis], slice(None), *index[axis + 1 :])


def _window(worst: int, size: int) -> slice:
    start = min(max(0, worst - LONGEST // 2), max(0, size - LONGEST))
    return slice(start, min(size, start + LONGEST))


def _row_mask(
    mask: np.ndarray | None, index: tuple[int, ...], view: View, window: slice
) -> tuple[bool, ...] | None:
    """The mask of the row, cut as the row is where the steps are the same."""
    if mask is None or view.rows is None or index[view.rows] >= len(mask):
        return None
    row = mask[index[view.rows]]
    return tuple(row[window if view.own_steps else slice(0, LONGEST)].astype(bool).tolist())
