"""The one display of progress: a bar on a terminal, lines elsewhere, nothing when quiet."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

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
    _told: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self._task = self.bar.add_task("", total=None)

    def update(self, text: str, done: float = 0, total: float | None = None) -> None:
        """What is being done, and how much of it is: ``done`` of ``total``, or of an unknown number."""
        self.bar.update(self._task, description=text, completed=done, total=total)
        if not self.console.is_terminal and done and time.monotonic() - self._told > SILENCE:
            self._told = time.monotonic()
            self.line(f"{text}: {done:g}" + ("" if total is None else f" of {total:g}"))

    def step(self, text: str) -> None:
        """A stage of the work: in the bar on a terminal, elsewhere a line, once."""
        self.update(text)
        if not self.console.is_terminal and text not in self._said:
            self._said.add(text)
            self.line(text)

    def line(self, text: str) -> None:
        """A line that stays."""
        self.console.print(text, highlight=False, soft_wrap=True)


@contextlib.contextmanager
def show_progress(quiet: bool) -> Iterator[ProgressDisplay]:
    """A display on standard error for as long as the context lasts."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True, quiet=quiet)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    hidden = quiet or not console.is_terminal
    with Progress(*columns, console=console, disable=hidden, transient=True) as bar:
        yield ProgressDisplay(console, bar)
