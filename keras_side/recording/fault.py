"""Why the code of a layer cannot be recorded, and which line of it is at fault."""

from __future__ import annotations

import contextlib
import linecache
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from biport.errors import UnsupportedError
from keras_side.reading.live_model import reason

SUPPORTED = (
    "layers, keras.ops and functions of TensorFlow of the tensors it is given and of its own variables: no "
    "Python conditions on their values, NumPy, random numbers, or state that a call changes"
)
NOT_THE_USERS = ("biport", "keras", "keras_side", "numpy", "optree", "tensorflow")
"""Packages in which a line at fault is not looked for, nor in the standard library."""


def refusal(owner: str, layer: Any, error: Exception) -> UnsupportedError:
    """What is wrong with a call, with the line of the user's own code that it happened in."""
    where = line_at_fault(error)
    said = f"{_said(error)}{f' in {where}' if where else ''}"
    problem = UnsupportedError(f"{owner} ({type(layer).__name__})", "call", said, SUPPORTED)
    problem.of_layer(layer.name, type(layer).__name__)
    return problem


def line_at_fault(error: Exception) -> str:
    """The innermost line of an error that belongs to the user: ``layers.py, line 12: if ops.sum(x) > 0:``."""
    return user_line(traceback.extract_tb(error.__traceback__))


def user_line(frames: Sequence[traceback.FrameSummary]) -> str:
    """The innermost of some lines that belongs to the user; empty where none does."""
    packages = [sys.modules.get(name) for name in NOT_THE_USERS]
    files = [package.__file__ for package in packages if package is not None and package.__file__]
    others = tuple(os.path.dirname(file) + os.sep for file in files)
    for frame in reversed(frames):
        if not frame.filename.startswith(others) and not _is_standard(frame.filename):
            code = frame.line or linecache.getline(frame.filename, frame.lineno or 0).strip()
            return f"{Path(frame.filename).name}, line {frame.lineno}" + (f": {code}" if code else "")
    return ""


def _is_standard(filename: str) -> bool:
    """Whether a file is of the standard library; packages that are installed below it are not."""
    return filename.startswith(STANDARD) and "-packages" not in filename


STANDARD = os.path.dirname(contextlib.__file__) + os.sep


def _said(error: Exception) -> str:
    """The kind of an error and the first sentence of what it says."""
    sentence = reason(error).split(". ")[0].rstrip(".")
    return f"{type(error).__name__}: {sentence}"[:300]
