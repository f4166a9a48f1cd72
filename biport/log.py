"""What biport does, told to the standard library's `logging`: nothing is printed unless somebody listens.

Loggers are called ``biport.<topic>``. A record's message is for people; what a program wants of it is in
``record.fields``, a dictionary. Warnings are Python's own, of `warnings`, which
``logging.captureWarnings(True)`` hands to the logger ``py.warnings``.
"""

from __future__ import annotations

import functools
import logging
import os
import time
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

ROOT = "biport"
P = ParamSpec("P")
R = TypeVar("R")

# Or Python itself prints what nobody listens to.
logging.getLogger(ROOT).addHandler(logging.NullHandler())


def log(topic: str, message: str, level: int = logging.INFO, **fields: Any) -> None:
    """Tell something.

    Args:
        topic: what it is about, as the logger's name has it behind ``biport.``.
        message: one sentence.
        level: of `logging`.
        fields: the same for a program, by name; seconds and bytes where nothing else is said.

    Example:
        >>> class Shown(logging.Handler):
        ...     def emit(self, record: logging.LogRecord) -> None:
        ...         print(record.name, record.getMessage(), fields_of(record))
        >>> logger, handler = logging.getLogger("biport.session"), Shown()
        >>> logger.setLevel(logging.INFO)
        >>> logger.addHandler(handler)
        >>> log("session", "m.onnx is open", device="cpu")
        biport.session m.onnx is open {'device': 'cpu'}
        >>> logger.removeHandler(handler)
        >>> logger.setLevel(logging.NOTSET)
    """
    logger = logging.getLogger(f"{ROOT}.{topic}")
    if logger.isEnabledFor(level):
        logger.log(level, "%s", message, extra={"fields": fields}, stacklevel=2)


def fields_of(record: logging.LogRecord) -> dict[str, Any]:
    """What `log` was told beside the message; of other records nothing."""
    return getattr(record, "fields", {})


def logged(name: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Have every call of a function that ends well told, with its first argument and how long it took.

    Args:
        name: ``<package>.<function>``, as users call it.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            start = time.perf_counter()
            result = function(*args, **kwargs)
            subject = _named(next(iter((*args, *kwargs.values())), None))
            seconds = time.perf_counter() - start
            log(name, f"{name} of {subject}", of=subject, **_sizes(result), seconds=seconds)
            return result

        return call

    return decorate


def _named(value: object) -> str:
    """A path as it is, of anything else its class."""
    return os.fsdecode(value) if isinstance(value, str | os.PathLike) else type(value).__qualname__


def _sizes(result: object) -> dict[str, Any]:
    """How large a graph is; where a file is."""
    if isinstance(result, os.PathLike):
        return {"path": os.fsdecode(result)}
    nodes = getattr(result, "nodes", None)
    return {"nodes": len(nodes)} if isinstance(nodes, tuple) else {}
