"""Keras' file of the IMDB reviews, downloaded by Keras itself where it is not there yet."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

from biport.data.imdb_rows import ADVICE
from biport.errors import FileError
from biport.extras import missing

LOAD = "from keras.datasets import imdb; imdb.load_data()"


def imdb_file() -> Path:
    """Keras' ``imdb.npz``, for `biport.data.imdb`, which makes of it the arrays that Keras makes.

    Keras runs in a process of its own: a run in torch loads none.

    Raises:
        FileError: Keras could not get it.
        MissingDependencyError: keras is not installed.
    """
    path = _keras_home() / "datasets" / "imdb.npz"
    if path.exists():
        return path
    if importlib.util.find_spec("keras") is None:
        raise missing("'keras', which downloads IMDB, is not installed", "keras")
    run = subprocess.run([sys.executable, "-c", LOAD], capture_output=True, text=True, check=False)
    if run.returncode or not path.exists():
        reason = (run.stderr.strip().splitlines() or ["it left no file"])[-1]
        raise FileError(f"imdb.npz: Keras could not get it ({reason}); {ADVICE}.")
    return path


def _keras_home() -> Path:
    """Where Keras keeps its files (keras/src/backend/config.py)."""
    if "KERAS_HOME" in os.environ:
        return Path(os.environ["KERAS_HOME"])
    home = Path.home()
    return (home if os.access(home, os.W_OK) else Path("/tmp")) / ".keras"
