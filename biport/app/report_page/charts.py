"""The drawings of the page: where everything goes, in the units of an SVG; the template has the colours.

Nothing in a drawing comes from a model: names stand beside it, in the page.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from biport.compare.evidence import BINS_PER_DECADE, Evidence, Example, bin_edges
from biport.compare.tolerance import Error

WIDTH, HEIGHT = 340, 150
LEFT, RIGHT, TOP, BOTTOM = 44, 16, 10, 34
STRIP = 9
"""The height of a strip that shows a mask."""
ROOM = 0.09
"""The share of an axis of errors that 0 takes, and NaN."""


@dataclass(frozen=True)
class Box:
    """A rectangle, of a class that the template colours."""

    kind: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Line:
    """Straight lines through points, and whether each point is a dot."""

    kind: str
    points: Sequence[tuple[float, float]]
    joined: bool = True
    dots: bool = False


@dataclass(frozen=True)
class Tick:
    """A number at an axis."""

    at: float
    text: str


@dataclass(frozen=True)
class Chart:
    """A drawing.

    Args:
        title: what it shows, for those who do not see it.
        x_label: what the horizontal axis is.
        y_label: what the vertical one is.
        x_ticks: its numbers.
        y_ticks: its numbers.
        boxes: bars, and steps of a mask.
        lines: courses.
        rules: vertical lines, by kind.
        levels: horizontal lines, by kind.
        height: of all of it.
    """

    title: str
    x_label: str
    y_label: str
    x_ticks: Sequence[Tick]
    y_ticks: Sequence[Tick]
    boxes: Sequence[Box] = ()
    lines: Sequence[Line] = ()
    rules: Sequence[tuple[str, float]] = ()
    levels: Sequence[tuple[str, float]] = ()
    height: int = HEIGHT
    width: int = WIDTH
    left: int = LEFT
    right: int = WIDTH - RIGHT
    top: int = TOP
    bottom: int = HEIGHT - BOTTOM


@dataclass(frozen=True)
class ErrorScale:
    """Powers of ten from ``low`` to ``high``, with 0 below and infinite numbers above, from 0 to 1.

    Args:
        low: the lowest power, a whole number.
        high: the highest.
        astray: whether there are infinite numbers.
    """

    low: int
    high: int
    astray: bool = False

    def __call__(self, error: float) -> float:
        """Where an error is."""
        if error <= 0:
            return ROOM / 2
        if not math.isfinite(error):
            return 1 - ROOM / 2
        last = 1 - ROOM * self.astray
        part = (math.log10(error) - self.low) / (self.high - self.low)
        return ROOM + (last - ROOM) * min(1.0, max(0.0, part))

    def ticks(self, most: int) -> list[tuple[float, str]]:
        """Positions and texts, ``most`` of them and the ends."""
        step = max(1, math.ceil((self.high - self.low) / most))
        powers = range(self.low, self.high + 1, step)
        ends = [(self(0.0), "0"), *([(self(math.inf), "NaN")] if self.astray else [])]
        inner = [(self(10.0**power), f"1e{power}") for power in powers]
        # Texts beside each other need some room.
        return [*ends, *(tick for tick in inner if all(abs(tick[0] - end) > 0.1 for end, _ in ends))]


def error_scale(errors: Iterable[float]) -> ErrorScale:
    """The scale that has all of these errors."""
    known = list(errors)
    powers = [math.log10(error) for error in known if error > 0 and math.isfinite(error)]
    low, high = math.floor(min(powers, default=-9)), math.ceil(max(powers, default=-6))
    return ErrorScale(low, max(high, low + 2), any(math.isinf(error) for error in known))


def histogram_errors(evidence: Evidence) -> list[float]:
    """The edges of the bins that have something in them."""
    edges = bin_edges()
    powers = [
        edge for bin, count in enumerate(evidence.histogram) if count for edge in (edges[bin], edges[bin + 1])
    ]
    return [*(10.0**power for power in powers), *([math.inf] if evidence.astray else [])]


def course_errors(evidence: Evidence) -> list[float]:
    """All points of the courses."""
    return [error for points in evidence.courses.values() for error in points]


def histogram(evidence: Evidence, allowed: float, scale: ErrorScale) -> Chart:
    """How many numbers have errors of which size; both axes are logarithmic."""
    counts = [
        (0.0, 0.0, evidence.equal),
        *(
            (10.0**low, 10.0 ** (low + 1 / BINS_PER_DECADE), count)
            for low, count in zip(bin_edges()[:-1].tolist(), evidence.histogram, strict=True)
        ),
        (math.inf, math.inf, evidence.astray),
    ]
    most = math.ceil(math.log10(max(1, *(count for _, _, count in counts)))) or 1
    boxes = []
    for low, high, count in counts:
        if not count:
            continue
        start, end = _x(scale(low)), _x(scale(high))
        if low == high:
            start, end = start - 8, end + 8
        # One number has some height too.
        top = _y((math.log10(count) + 0.35) / (most + 0.35))
        kind = "over" if low >= allowed else "bar"
        boxes.append(Box(kind, start, top, max(end - start - 0.6, 1.2), HEIGHT - BOTTOM - top))
    step = max(1, math.ceil(most / 4))
    powers = range(0, most + 1, step)
    return Chart(
        histogram_title(evidence, allowed),
        "error",
        "numbers",
        [Tick(_x(part), text) for part, text in scale.ticks(6)],
        [Tick(_y((power + 0.35) / (most + 0.35)), _count(10**power)) for power in powers],
        boxes,
        rules=[("allowed", _x(scale(allowed)))],
    )


def histogram_title(evidence: Evidence, allowed: float) -> str:
    """What a histogram shows, in words."""
    over = sum(
        count
        for low, count in zip(bin_edges()[:-1].tolist(), evidence.histogram, strict=True)
        if 10.0**low >= allowed
    )
    parts = [f"histogram of the errors of {evidence.numbers:,} numbers", f"{evidence.equal:,} have none"]
    if evidence.astray:
        parts.append(f"{evidence.astray:,} are NaN or infinite where they should not be")
    largest = max((error for error in evidence.cases.values() if math.isfinite(error)), default=0.0)
    parts.append(f"the largest is {largest:.1e}, allowed is {allowed:.1e}")
    if over:
        parts.append(f"{over:,} are in bins above that")
    return ", ".join(parts)


def course(evidence: Evidence, allowed: float, scale: ErrorScale, kinds: Mapping[str, int]) -> Chart:
    """The largest error at each step, a line for each pattern of mask or each of the inputs.

    Args:
        evidence: with courses.
        allowed: what was allowed.
        scale: of the errors.
        kinds: the number of the colour of each line.
    """
    last = max(len(points) for points in evidence.courses.values()) * evidence.stride - 1
    lines = [
        Line(
            f"s{kinds[name]}",
            [
                (_x(_along(step * evidence.stride, 0, last)), _y(scale(error)))
                for step, error in enumerate(points)
            ],
            dots=len(points) == 1,
        )
        for name, points in evidence.courses.items()
    ]
    words = "; ".join(f"{name} {max(points):.1e}" for name, points in evidence.courses.items())
    return Chart(
        f"the largest error at each of {last + 1} steps, allowed {allowed:.1e}; largest by line: {words}",
        "step",
        "error",
        _steps(0, last),
        [Tick(_y(part), text) for part, text in scale.ticks(4)],
        lines=lines,
        levels=[("allowed", _y(scale(allowed)))],
    )


def values(example: Example) -> Chart:
    """What the oracle and the form give beside each other, over the mask of the row; of several numbers."""
    last = example.start + len(example.exact) - 1
    finite = [number for number in (*example.exact, *example.given) if math.isfinite(number)]
    ticks = _round_ticks(min(finite, default=0.0), max(finite, default=1.0))
    low, high = ticks[0], ticks[-1]
    joined = example.along == "step"

    def line(kind: str, numbers: Sequence[float]) -> Iterable[Line]:
        for points in _finite_runs(numbers):
            yield Line(
                kind,
                [
                    (
                        _x(_along(example.start + at, example.start, last)),
                        _y((number - low) / (high - low)),
                    )
                    for at, number in points
                ],
                joined,
                dots=not joined or len(points) == 1,
            )

    own = example.mask if example.own_mask else None
    boxes = [] if own is None else _strip(own, example.start, last, HEIGHT - BOTTOM + 2)
    return Chart(
        f"what the oracle and the form give along {len(example.exact)} {example.along}s; "
        f"{example.along} {example.worst} is the worst",
        example.along,
        "value",
        _steps(example.start, last),
        [Tick(_y((tick - low) / (high - low)), f"{tick:.6g}") for tick in ticks],
        boxes,
        [*line("oracle", example.exact), *line("form", example.given)],
        rules=[("worst", _x(_along(example.worst, example.start, last)))],
        height=HEIGHT + (STRIP + 2) * bool(boxes),
    )


def example_errors(example: Example, error: Error, allowed: float) -> Chart:
    """The errors of the same row."""
    last = example.start + len(example.errors) - 1
    scale = error_scale([*example.errors, allowed])
    points = [
        (_x(_along(example.start + at, example.start, last)), _y(scale(number)))
        for at, number in enumerate(example.errors)
    ]
    return Chart(
        f"the error of each {example.along}, at most {error.maximum:.1e}, allowed {allowed:.1e}",
        example.along,
        "error",
        _steps(example.start, last),
        [Tick(_y(part), text) for part, text in scale.ticks(4)],
        lines=[Line("form", points, joined=example.along == "step", dots=example.along != "step")],
        rules=[("worst", _x(_along(example.worst, example.start, last)))],
        levels=[("allowed", _y(scale(allowed)))],
    )


def other_mask(example: Example) -> Chart | None:
    """The mask of a row whose steps are not those of the output; ``None`` where there is none."""
    if example.mask is None or example.own_mask:
        return None
    last = len(example.mask) - 1
    return Chart(
        f"the mask of the row: {sum(example.mask)} of {last + 1} steps are valid",
        "step of the input",
        "",
        _steps(0, last),
        [],
        _strip(example.mask, 0, last, TOP),
        height=TOP + STRIP + BOTTOM,
        bottom=TOP + STRIP,
    )


def _strip(mask: Sequence[bool], first: int, last: int, y: float) -> list[Box]:
    """A box for each step."""
    width = (WIDTH - LEFT - RIGHT) / max(1, last - first + 1)
    gap = min(0.8, width * 0.15)
    return [
        Box(
            "valid" if valid else "padded",
            _x(_along(first + at, first, last)) - width / 2 + gap / 2,
            y,
            width - gap,
            STRIP,
        )
        for at, valid in enumerate(mask)
    ]


def _finite_runs(numbers: Sequence[float]) -> list[list[tuple[int, float]]]:
    """What is between numbers that cannot be drawn."""
    runs: list[list[tuple[int, float]]] = [[]]
    for at, number in enumerate(numbers):
        if math.isfinite(number):
            runs[-1].append((at, number))
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run]


def _steps(first: int, last: int) -> list[Tick]:
    """Whole numbers from ``first`` to ``last``."""
    step = max(1, _round(max(1, last - first) / 7))
    numbers = range(math.ceil(first / step) * step, last + 1, step)
    return [Tick(_x(_along(number, first, last)), f"{number}") for number in numbers]


def _round(number: float) -> int:
    """The next of 1, 2, 5, 10, 20, 50 and so on."""
    power = 10 ** math.floor(math.log10(number)) if number > 1 else 1
    return next(int(factor * power) for factor in (1, 2, 5, 10) if factor * power >= number)


def _round_ticks(low: float, high: float) -> list[float]:
    """A few round numbers, of which the first is not above ``low`` and the last not below ``high``."""
    if not low < high:
        room = abs(low) * 0.1 or 0.5
        low, high = low - room, high + room
    raw = (high - low) / 4
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [number * step for number in range(first, max(last, first + 1) + 1)]


def _along(step: float, first: int, last: int) -> float:
    """Where a step is, in the middle of its share, from 0 to 1."""
    return (step - first + 0.5) / (last - first + 1)


def _x(part: float) -> float:
    return LEFT + part * (WIDTH - LEFT - RIGHT)


def _y(part: float) -> float:
    return HEIGHT - BOTTOM - part * (HEIGHT - TOP - BOTTOM)


def _count(number: int) -> str:
    return f"{number:,}" if number < 10_000 else f"1e{len(str(number)) - 1}"
