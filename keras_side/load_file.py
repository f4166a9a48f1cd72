"""A ``.keras`` file as a live Keras model."""

from __future__ import annotations

import os
import warnings
from typing import TYPE_CHECKING

from biport.errors import FileError
from keras_side.write import require_keras

if TYPE_CHECKING:
    import keras


def load_file(path: str | os.PathLike[str]) -> keras.Model:
    """Load a model with Keras itself, in safe mode and without its training state.

    Raises:
        FileError: Keras cannot load it; the message is Keras' own.
        MissingDependencyError: keras or its backend is not installed.
    """
    require_keras()
    import keras

    try:
        with warnings.catch_warnings():
            # Which layers end a mask is settled when the file is read; Keras says it of each of them.
            warnings.filterwarnings("ignore", message=".*does not support masking.*")
            return keras.saving.load_model(path, compile=False)  # pyright: ignore[reportReturnType]
    except (ValueError, TypeError, OSError) as error:
        raise FileError(f"{path}: Keras cannot load it: {str(error).splitlines()[0]}") from error
