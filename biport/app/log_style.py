"""How things are told on standard error, for whoever tells them there."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Style:
    """How things are told.

    Args:
        json: as objects, and by others than biport as well.
        level: of `logging`, from which on biport's own are told.
    """

    json: bool = False
    level: int = logging.WARNING


_styles: list[Style] = []


def style() -> Style:
    """How things are told now."""
    return _styles[-1] if _styles else Style()


def is_told() -> bool:
    """Whether somebody has said how."""
    return bool(_styles)


@contextlib.contextmanager
def telling(wanted: Style) -> Iterator[None]:
    """Have things told so for as long as the context lasts."""
    _styles.append(wanted)
    try:
        yield
    finally:
        _styles.pop()
