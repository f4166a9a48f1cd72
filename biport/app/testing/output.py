"""What a test that fails shows, beside the message: nothing of how biport works inside."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from biport.errors import BiportError

T = TypeVar("T")
TRACE = "torch.__trace"
"""Torch's log of what it traces: records for tools of its own, with empty messages."""


def for_test(work: Callable[[], T]) -> T:
    """Do what a test asks for, out of sight of what pytest shows of a test that fails.

    Raises:
        BiportError: that of the work, without biport's own calls; it says by itself what is wrong.
    """
    __tracebackhide__ = True
    try:
        with _uncaptured_trace():
            return work()
    except BiportError as error:
        raise error.with_traceback(None) from error.__cause__


@contextmanager
def _uncaptured_trace() -> Iterator[None]:
    """From version 9 on pytest captures logs that do not propagate too, and only then torch fills its own."""
    log = logging.getLogger(TRACE)
    capturing = [handler for handler in log.handlers if type(handler).__module__.startswith("_pytest.")]
    for handler in capturing:
        log.removeHandler(handler)
    try:
        yield
    finally:
        for handler in capturing:
            log.addHandler(handler)
