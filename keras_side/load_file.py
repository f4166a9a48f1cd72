"""A model file as a live model, of the Keras that gives it the meaning it was written with.

Keras 3 loads most files of Keras 2 too, and computes other numbers with some of them: where masks meet, and
for ``hard_sigmoid``. Those are run with ``tf_keras``, Keras 2 as a package, where it is installed.
"""

from __future__ import annotations

import importlib
import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from biport.errors import FileError, MissingDependencyError
from biport.graph import Graph
from keras_side.file.model_file import ModelFile
from keras_side.read import read_file, typed_errors
from keras_side.release import Release
from keras_side.require import require_keras

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


@dataclass(frozen=True)
class Program:
    """What runs a model file.

    Args:
        name: ``"keras"``, ``"tf_keras"``, or ``"numpy"`` where no Keras here runs it as it was written.
        why: why it is numpy.
        model: the live Keras 3 model.
        run: inputs to outputs, of a Keras 2 model.
    """

    name: str
    why: str = ""
    model: Any = None
    run: Callable[[Sequence[np.ndarray]], list[np.ndarray]] | None = None


def program(source: str | os.PathLike[str], graph: Graph) -> Program:
    """The Keras that runs a file of ``graph`` as the one that wrote it did, or why there is none here."""
    path = Path(source)
    with typed_errors(path.name):
        try:
            with ModelFile(path) as file:
                return _program(file, graph)
        except MissingDependencyError:
            return Program("numpy", "no keras here")


def _program(file: ModelFile, graph: Graph) -> Program:
    if file.origin.generation < 3:
        return _keras_2(file)
    require_keras()
    import keras

    installed = Release(keras.__version__)
    file.origin = installed
    if read_file(file) != graph:
        return Program("numpy", f"Keras {installed.version} hands on other masks")
    try:
        return Program("keras", model=load_file(file.path))
    except FileError:
        return Program("numpy", f"Keras {installed.version} cannot load it")


def _keras_2(file: ModelFile) -> Program:
    if file.origin.standalone:
        return Program("numpy", f"no Keras {file.origin.version} here")
    try:
        tf_keras: Any = importlib.import_module("tf_keras")
    except ImportError:
        return Program("numpy", "no tf_keras here")
    try:
        model = tf_keras.models.load_model(str(file.path), compile=False)
    except (ValueError, TypeError, OSError, AttributeError) as error:
        return Program("numpy", f"tf_keras cannot load it: {str(error).partition('.')[0]:.60}")

    def run(inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        arrays = [array.astype(given.dtype.name) for array, given in zip(inputs, model.inputs, strict=True)]
        outputs = model(arrays if len(arrays) > 1 else arrays[0], training=False)
        return [part.numpy() for part in (outputs if isinstance(outputs, list | tuple) else [outputs])]

    return Program("tf_keras", run=run)
