"""Keras itself, imported once it is needed, and told what biport's models may hold."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator

from biport.extras import missing
from keras_side.registered import FUNCTIONS, PACKAGE


def require_keras() -> None:
    """Import keras with a backend that stays quiet, and make known to it what biport's models may hold.

    Raises:
        MissingDependencyError: keras or its backend is not installed.
    """
    if sys.modules.get("keras") is None:
        _import_keras()
    register()


def _import_keras() -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # TensorFlow itself turns it on for CPUs of AVX-512 only; without it no convolution is channels first.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    try:
        with quiet_stderr():
            import keras  # noqa: F401
    except ImportError as error:
        raise missing(f"Keras models need keras and a backend ({error})", "keras") from error


@contextlib.contextmanager
def quiet_stderr() -> Iterator[None]:
    """Keep what TensorFlow's C++ side prints while it is loaded, whatever its log level, off the terminal."""
    try:
        saved = os.dup(2)
    except OSError:
        yield
        return
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)


def register() -> None:
    """Make functions and layers known to Keras; a second time changes nothing."""
    import keras

    import keras_side.layers  # noqa: F401  (which registers them)

    for function in FUNCTIONS:
        keras.saving.register_keras_serializable(PACKAGE, function.__name__)(function)
