"""Timing several ways to do one thing: they take turns, so that a busy machine is busy for all of them."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

Timed = Callable[[], object]


@dataclass(frozen=True)
class Times:
    """Milliseconds a call of each contestant.

    Args:
        turns: turn by turn, the median of a turn's calls.
        shortest: of all calls.
        processor: of processor time, turn by turn; of all threads of this process together.
    """

    turns: Mapping[str, Sequence[float]]
    shortest: Mapping[str, float]
    processor: Mapping[str, Sequence[float]] = field(default_factory=dict)

    def median(self, name: str) -> float:
        """The median over all turns."""
        return statistics.median(self.turns[name])

    def ratio(self, slow: str, fast: str) -> float:
        """How many times as long ``slow`` takes as ``fast``: the median over the turns' ratios.

        The two calls of one turn lie side by side in time, and share what else the machine does.
        """
        return _median_ratio(self.turns[slow], self.turns[fast])

    def processor_ratio(self, slow: str, fast: str) -> float:
        """The same of processor time, from which other work on the machine takes nothing."""
        return _median_ratio(self.processor[slow], self.processor[fast])

    def best_ratio(self, slow: str, fast: str) -> float:
        """The ratio of the shortest calls: what the two cost where nothing disturbs them."""
        return self.shortest[slow] / self.shortest[fast]

    def ratios(self, slow: str, fast: str) -> str:
        """Both ratios, to print; where they are far apart, the machine was busy."""
        return f"{self.ratio(slow, fast):.2f} ({self.best_ratio(slow, fast):.2f})"


def _median_ratio(slow: Sequence[float], fast: Sequence[float]) -> float:
    return statistics.median(one / two for one, two in zip(slow, fast, strict=True))


BLOCK = 20.0
"""Milliseconds for which a contestant with short calls is run before the next one's turn."""


def take_turns(runs: Mapping[str, Timed], *, seconds: float = 4.0, least: int = 5) -> Times:
    """Run all of ``runs`` in turn until ``seconds`` are over.

    In its turn a contestant makes one call that does not count, which brings its weights back into the
    caches, and then as many as fit into `BLOCK`, of which the median counts; long calls are made once.

    Args:
        least: turns at least, however long they take.
    """
    repeats = {name: _repeats(run) for name, run in runs.items()}
    times: dict[str, list[float]] = {name: [] for name in runs}
    processor: dict[str, list[float]] = {name: [] for name in runs}
    shortest = dict.fromkeys(runs, float("inf"))
    end = time.perf_counter() + seconds
    while len(next(iter(times.values()))) < least or time.perf_counter() < end:
        for name, run in runs.items():
            if repeats[name] > 1:
                run()
            before = time.process_time()
            calls = [_clock(run) for _ in range(repeats[name])]
            processor[name].append(1000 * (time.process_time() - before) / repeats[name])
            times[name].append(statistics.median(calls))
            shortest[name] = min(shortest[name], *calls)
    return Times(times, shortest, processor)


def _repeats(run: Timed) -> int:
    """How many calls make a block, after two to warm up, or one that is long."""
    if _clock(run) < 50 * BLOCK:
        run()
        return max(1, int(BLOCK / _clock(run)))
    return 1


def _clock(run: Timed) -> float:
    start = time.perf_counter()
    run()
    return 1000 * (time.perf_counter() - start)


def machine(*packages: str) -> str:
    """The machine and what runs on it, in a line."""
    described = Path("/proc/cpuinfo")
    lines = described.read_text().splitlines() if described.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    cpu = names[0] if names else platform.processor() or platform.machine()
    shown = [f"{name} {_version(name)}" for name in packages]
    return f"{cpu}, {_cores()} cores; Python {platform.python_version()}; {', '.join(shown)}"


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
