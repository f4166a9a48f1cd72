"""Errors of one kind, that name the file or the model, whatever goes wrong while one is read."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from biport.errors import BiportError, FileError, UnsupportedError

MALFORMED = (ArithmeticError, AttributeError, LookupError, OSError, RuntimeError, TypeError, ValueError)
"""What values of unforeseen types end in."""


@contextlib.contextmanager
def typed_errors(owner: str) -> Iterator[None]:
    """Have every error name the file, and end in one of biport's whatever the file holds."""
    with named_errors(owner):
        try:
            yield
        except RecursionError as error:
            raise FileError(f"{owner}: its configuration is nested too deep") from error
        except BiportError:
            raise
        except MALFORMED as error:
            raise FileError(f"{owner}: does not describe a model ({error!r})") from error


@contextlib.contextmanager
def named_errors(owner: str) -> Iterator[None]:
    """Have every error name the model, or the file."""
    try:
        yield
    except UnsupportedError:
        raise
    except BiportError as error:
        raise type(error)(named(owner, str(error))) from error


def named(owner: str, message: str) -> str:
    """The message with what it is about in front, where it does not say it."""
    return message if owner in message else f"{owner}: {message}"
