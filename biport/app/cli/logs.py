"""Standard error: sentences for people, or with ``--log-json`` one JSON object a line, whoever writes there.

An object has ``time`` (UTC), ``level``, ``logger``, ``message`` and ``fields``, what a program wants of it.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import inspect
import json
import logging
import math
import os
import re
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, TextIO, TypeVar

import typer

from biport.app.cli.options import OUTPUT
from biport.app.log_style import Style, is_told, style, telling
from biport.errors import InputError
from biport.log import ROOT, fields_of, log

VARIABLE = "BIPORT_LOG"
"""Of the environment: ``json`` is what ``--log-json`` is."""
JSON, VERBOSE = "--log-json", ("-v", "--verbose")
WARNINGS, FOREIGN = "py.warnings", "stderr"
"""Loggers of Python's warnings, and of lines that others write to standard error."""
PIPE = 2**20
"""Bytes that may wait: a library may write while no other thread of Python can read them."""


R = TypeVar("R")

LogJson = Annotated[
    bool,
    typer.Option(
        JSON,
        help=f"Have every line on standard error be one JSON object, as {VARIABLE}=json does.",
        rich_help_panel=OUTPUT,
    ),
]
Verbose = Annotated[
    bool,
    typer.Option(
        *VERBOSE, help="Tell what is read, opened and written, and how long it takes.", rich_help_panel=OUTPUT
    ),
]


def with_log_options(function: Callable[..., R]) -> Callable[..., R]:
    """The function of a command with the options that `asked` looks for."""
    signature = inspect.signature(function, eval_str=True)
    more = {
        name: inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=annotation)
        for name, annotation in {"log_json": LogJson, "verbose": Verbose}.items()
    }

    @functools.wraps(function)
    def call(**arguments: Any) -> R:
        return function(**{name: value for name, value in arguments.items() if name not in more})

    call.__signature__ = signature.replace(parameters=[*signature.parameters.values(), *more.values()])  # type: ignore[attr-defined]
    return call


def asked(arguments: Sequence[str], environment: Mapping[str, str] = os.environ) -> Style:
    """What a command line asks for; seen before it is parsed, for that may fail.

    Raises:
        InputError: the environment names no style.
    """
    variable = environment.get(VARIABLE, "")
    if variable not in ("", "json", "text"):
        raise InputError(f"{VARIABLE}={variable}: should be json or text")
    own = arguments[: arguments.index("--")] if "--" in arguments else arguments
    as_json, verbose = JSON in own or variable == "json", any(name in own for name in VERBOSE)
    levels = (logging.INFO, logging.DEBUG) if as_json else (logging.WARNING, logging.INFO)
    return Style(as_json, levels[verbose])


@contextlib.contextmanager
def listening(wanted: Style, target: TextIO | None = None) -> Iterator[None]:
    """Tell on standard error what is logged for as long as the context lasts; inside of another nothing more.

    Args:
        wanted: how.
        target: what is written to in place of standard error.
    """
    if is_told():
        yield
        return
    handler = _Handler(target)
    handler.setFormatter(JsonLine() if wanted.json else TextLine())
    handler.setLevel(wanted.level)
    # Of others only what is told as objects: without, their own words stay theirs.
    listened = logging.getLogger(None if wanted.json else ROOT)
    own = logging.getLogger(ROOT)
    level = own.level
    own.setLevel(wanted.level)
    listened.addHandler(handler)
    try:
        with telling(wanted):
            yield
    finally:
        listened.removeHandler(handler)
        own.setLevel(level)


class _Handler(logging.Handler):
    """Writes to standard error, whatever that is then; one that takes nothing ends nothing."""

    def __init__(self, target: TextIO | None) -> None:
        super().__init__()
        self.target = target

    def emit(self, record: logging.LogRecord) -> None:
        stream = self.target or sys.stderr
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.write(f"{self.format(record)}\n")
            stream.flush()


class TextLine(logging.Formatter):
    """The sentence, and behind it what numbers it has."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        numbers = [
            f"{name} {_short(value)}" for name, value in fields_of(record).items() if _is_number(value)
        ]
        return record.getMessage() + (f" ({', '.join(numbers)})" if numbers else "")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


class JsonLine(logging.Formatter):
    """The object, in ASCII."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        fields = dict(fields_of(record))
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        data = {
            "time": time.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "fields": _plain(fields),
        }
        return json.dumps(data, allow_nan=False)


def _plain(value: Any) -> Any:
    """The same as JSON has it; ``null`` where a number is not finite."""
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, bool | int | str) else str(value)


def tell(text: str, message: str, level: int = logging.ERROR, **fields: Any) -> None:
    """Tell what becomes of a command, or how it failed, whatever the level.

    Args:
        text: for people.
        message: the sentence of the object.
        level: of the object.
        fields: of the object.
    """
    if style().json:
        log("command", message, level, **fields)
        return
    with contextlib.suppress(OSError, ValueError, AttributeError):
        sys.stderr.write(text if text.endswith("\n") else f"{text}\n")


def show_warning(message: Any, category: type[Warning], filename: str, lineno: int, *_: Any) -> None:
    """What `warnings.showwarning` is on the command line."""
    if style().json:
        fields = {"category": category.__name__, "file": filename, "line": lineno}
        logging.getLogger(WARNINGS).warning("%s", message, extra={"fields": fields})
    else:
        tell(f"warning: {message}", "")


@contextlib.contextmanager
def process_listening(arguments: Sequence[str]) -> Iterator[None]:
    """`listening` for a whole process: what libraries and children write becomes objects, too."""
    warnings.showwarning = show_warning
    wanted = Style()
    with contextlib.suppress(InputError):  # of which the command tells
        wanted = asked(arguments)
    with contextlib.ExitStack() as stack:
        target = stack.enter_context(_wrapped_stderr()) if wanted.json else None
        stack.enter_context(listening(wanted, target))
        yield


@contextlib.contextmanager
def _wrapped_stderr() -> Iterator[TextIO | None]:
    """Have a thread make objects of the lines that come to standard error; gives what it writes these to."""
    try:
        saved = os.dup(2)
    except OSError:
        yield None
        return
    reader, writer = os.pipe()
    with contextlib.suppress(OSError):
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, PIPE)
    os.dup2(writer, 2)
    os.close(writer)
    target = os.fdopen(saved, "w", encoding="utf-8")
    thread = threading.Thread(target=_wrap, args=(reader, target), name="biport-stderr", daemon=True)
    thread.start()
    try:
        yield target
    finally:
        with contextlib.suppress(OSError, ValueError, AttributeError):
            sys.stderr.flush()
        os.dup2(saved, 2)
        # A child that goes on may keep the pipe open.
        thread.join(timeout=2)


def _wrap(reader: int, target: TextIO) -> None:
    handler = _Handler(target)
    handler.setFormatter(JsonLine())
    with os.fdopen(reader, "rb", buffering=0) as lines:
        rest = b""
        while block := lines.read(2**16):
            *whole, rest = re.split(rb"[\r\n]+", rest + block)
            for line in whole:
                _emit(handler, line)
        _emit(handler, rest)


def _emit(handler: logging.Handler, line: bytes) -> None:
    text = line.decode("utf-8", "backslashreplace")
    if text.strip():
        handler.handle(logging.LogRecord(FOREIGN, logging.WARNING, "", 0, text, None, None))
