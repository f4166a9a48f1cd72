"""Keras' file of the IMDB reviews, downloaded by Keras itself where it is not there yet."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

from biport.app.progress import show_progress
from biport.data.imdb_rows import ADVICE
from biport.errors import FileError
from biport.extras import missing

LOAD = "from keras.datasets import imdb; imdb.load_data()"


def imdb_file(quiet: bool = True) -> Path:
    """Keras' ``imdb.npz``, for `biport.data.imdb`, which makes of it the arrays that Keras makes.

    Keras runs in a process of its own: a run in torch loads none.

    Args:
        quiet: say nothing of a download.

    Raises:
        FileError: Keras could not get it.
        MissingDependencyError: keras is not installed.
    """
    path = _keras_home() / "datasets" / "imdb.npz"
    if path.exists():
        return path
    if importlib.util.find_spec("keras") is None:
        raise missing("'keras', which downloads IMDB, is not installed", "keras")
    with show_progress(quiet) as display:
        display.step("having Keras download imdb.npz")
        _download(path)
    return path


def _download(path: Path) -> None:
    run = subprocess.run([sys.executable, "-c", LOAD], capture_output=True, text=True, check=False)
    if run.returncode or not path.exists():
        reason = (run.stderr.strip().splitlines() or ["it left no file"])[-1]
        raise FileError(f"imdb.npz: Keras could not get it ({reason}); {ADVICE}.")


def _keras_home() -> Path:
    """Where Keras keeps its files (keras/src/backend/config.py)."""
    if "KERAS_HOME" in os.environ:
        return Path(os.environ["KERAS_HOME"])
    home = Path.home()
    return (home if os.access(home, os.W_OK) else Path("/tmp")) / ".keras"
