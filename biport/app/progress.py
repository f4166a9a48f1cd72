"""The one display of progress: a bar on a terminal, lines elsewhere, nothing when quiet."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from biport.app.log_style import style
from biport.log import log

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

SILENCE = 10.0
"""Seconds after which work that is counted says how far it is where there is no bar."""


@dataclass
class ProgressDisplay:
    """Where a command says how far it is.

    Args:
        console: standard error, where results do not go.
        bar: shown on a terminal alone.
    """

    console: Console
    bar: Progress
    _said: set[str] = field(default_factory=set)
    _told: float = field(default_factory=lambda: time.monotonic())
    _since: tuple[str, float, float] = ("", 0, 0)
    """What is being done, how much of it was when it was first told of, and when that was."""

    def __post_init__(self) -> None:
        self._task = self.bar.add_task("", total=None, pace="")

    def update(self, text: str, done: float = 0, total: float | None = None, unit: str = "") -> None:
        """What is being done, and how much of it is: ``done`` of ``total``, or of an unknown number."""
        pace = self._pace(text, done, total)
        self.bar.update(self._task, description=text, completed=done, total=total, pace=pace)
        if not self.console.is_terminal and done and time.monotonic() - self._told > SILENCE:
            self._told = time.monotonic()
            whole = "" if total is None else f" of {_number(total)}"
            told = f"{text}: {_number(done)}{whole}{unit and ' '}{unit}{pace and ', '}{pace}"
            self.line(told, done=done, total=total, unit=unit)

    def _pace(self, text: str, done: float, total: float | None) -> str:
        """How much is done in a second, and what that leaves."""
        now = time.monotonic()
        if self._since[0] != text or done < self._since[1]:
            self._since = text, done, now
        _, first, since = self._since
        if now <= since or done <= first:
            return ""
        rate = (done - first) / (now - since)
        left = "" if total is None or total < done else f", {_duration((total - done) / rate)} left"
        return f"{rate:,.{0 if rate >= 10 else 1}f}/s{left}"

    def step(self, text: str) -> None:
        """A stage of the work: in the bar on a terminal, elsewhere a line, once."""
        self.update(text)
        if not self.console.is_terminal and text not in self._said:
            self._said.add(text)
            self.line(text)

    def line(self, text: str, **fields: Any) -> None:
        """A line that stays; an object with ``fields`` where all lines are, also where nothing is shown."""
        if style().json:
            log("progress", text, **fields)
        else:
            self.console.print(text, highlight=False, soft_wrap=True)


def _number(count: float) -> str:
    return f"{int(count):,}" if count == int(count) else f"{count:g}"


def _duration(seconds: float) -> str:
    """The time as people say it.

    Example:
        >>> [_duration(seconds) for seconds in (0.2, 20, 150, 7500)]
        ['1 s', '20 s', '3 min', '2 h 5 min']
    """
    if seconds < 100:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


@contextlib.contextmanager
def show_progress(quiet: bool) -> Iterator[ProgressDisplay]:
    """A display on standard error for as long as the context lasts."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True, quiet=quiet)
    text, pace = TextColumn("{task.description}"), TextColumn("{task.fields[pace]}")
    columns = text, BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), pace
    hidden = quiet or not console.is_terminal
    with Progress(*columns, console=console, disable=hidden, transient=True) as bar:
        yield ProgressDisplay(console, bar)
