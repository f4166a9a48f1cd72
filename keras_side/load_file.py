"""A model file as a live model, of the Keras that gives it the meaning it was written with.

Keras 3 loads most files of Keras 2 too, and computes other numbers with some of them: where masks meet, and
for ``hard_sigmoid``. Those are run with ``tf_keras``, Keras 2 as a package, where it is installed.
"""

from __future__ import annotations

import functools
import importlib
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from biport.errors import FileError, MissingDependencyError, UnsupportedError, shown
from biport.graph import Graph
from keras_side.file.model_file import ModelFile, needs_config
from keras_side.file.objects import known_to_keras_3, objects
from keras_side.legacy.model import OWN_MODULES
from keras_side.legacy.operations import FUNCTIONS, SLICES
from keras_side.read import read_file
from keras_side.reading.ctc import Prediction, ending, stand_ins
from keras_side.reading.stateful import kept_states
from keras_side.recording.ctc import prediction_model
from keras_side.release import Release
from keras_side.require import quiet_stderr, require_keras
from keras_side.shared.recurrent import KeptStates
from keras_side.stateful import stateful_run
from keras_side.typed_errors import typed_errors

if TYPE_CHECKING:
    import keras


def load_file(path: str | os.PathLike[str]) -> keras.Model:
    """Load a model with Keras itself, in safe mode and without its training state, to be run as it was read.

    Where a CTC layer ends it, which needs no code here, that is cut off.

    Raises:
        FileError: Keras cannot load it; the message is Keras' own.
        MissingDependencyError: keras or its backend is not installed.
    """
    path = Path(path)
    require_keras()
    import keras

    with typed_errors(path.name), ModelFile(path) as file:
        classes = _stand_ins(file, keras)
    return prediction_model(_loaded(path, classes))


def _stand_ins(file: ModelFile, keras: Any) -> dict[str, type]:
    """What Keras needs in place of the class of a CTC layer that ends the model of a file."""
    cut = ending(file.owner, file.config, file.variables)
    if cut is None or cut.class_name == "Lambda":
        return {}
    named = [one for one in objects(file.raw) if one.get("class_name") == cut.class_name]
    registered = next((one.get("registered_name") for one in named), None)
    return stand_ins(keras, cut.class_name, str(registered or ""))


def _loaded(path: Path, classes: Mapping[str, type]) -> keras.Model:
    import keras

    try:
        with warnings.catch_warnings():
            # Which layers end a mask is settled when the file is read; Keras says it of each of them.
            warnings.filterwarnings("ignore", message=".*does not support masking.*")
            return keras.saving.load_model(path, custom_objects={**classes}, compile=False)  # pyright: ignore[reportReturnType]
    except (ValueError, TypeError, OSError) as error:
        raise FileError(f"{path}: Keras cannot load it: {str(error).splitlines()[0]}") from error


def load_original(path: str | os.PathLike[str]) -> Any:
    """A file that biport cannot read as a live model, of the generation of Keras that wrote it.

    Nothing of the file is run as code: Keras 3 loads it in safe mode; a file of Keras 2 goes to ``tf_keras``
    once every class in it is seen to be one of its own that computes what its settings say.

    Raises:
        UnsupportedError: there is no such Keras here, or the file holds code, or classes that are not known.
        FileError: Keras cannot load it.
        MissingDependencyError: keras or its backend is not installed.
    """
    path = Path(path)
    if refuse_unloadable(path).generation == 3:
        require_keras()
        return _loaded(path, {})
    tf_keras = _tf_keras()
    try:
        return tf_keras.models.load_model(str(path), compile=False)
    except Exception as error:  # tf_keras looks at little before it builds, and may raise anything.
        raise FileError(f"{path}: tf_keras cannot load it: {str(error).strip().splitlines()[0]}") from error


OWN = ("layers", "models", "initializers", "regularizers", "constraints", "mixed_precision")
CALLS = ("TFOpLambda", "SlicingOpLambda")
"""Layers of Keras 2 that call a function of TensorFlow by the name that is in the file."""
SAFE_CALLS = (*FUNCTIONS, SLICES)


def refuse_unloadable(path: str | os.PathLike[str]) -> Release:
    """Which Keras wrote a file, where one of that generation is here to load it.

    Raises:
        UnsupportedError: there is none; or the file names code, or classes that nobody here knows.
            ``tf_keras`` would run the code of a Lambda in HDF5, and any function of TensorFlow.
        FileError: the file cannot be read.
    """
    path = Path(path)
    if needs_config(path):
        supported = "files that hold the model beside its weights"
        raise UnsupportedError(f"{path.name}: the route tf2onnx", "format", "weights alone", supported)
    with typed_errors(path.name), ModelFile(path) as file:
        origin, config = file.origin, file.raw
    if origin.generation == 3:
        known = known_to_keras_3
    else:
        tf_keras = None if origin.standalone else _tf_keras()
        if tf_keras is None:
            supported = "files of Keras 3, and those of tf.keras 2 where tf_keras is installed"
            raise UnsupportedError(f"{path.name}: the route tf2onnx", "Keras", origin.version, supported)
        known = functools.partial(_known_to_keras_2, tf_keras)
    for item in objects(config):
        if not known(item):
            settings = item.get("config")
            name = settings.get("name") if isinstance(settings, Mapping) else None
            layer = "" if name is None else f": layer {shown(name)} ({item.get('class_name')})"
            supported = "classes of Keras itself, or registered with it, that run no code of a file"
            raise UnsupportedError(f"{path.name}{layer}", "class", item.get("class_name"), supported)
    return origin


def _tf_keras() -> Any:
    try:
        with quiet_stderr():
            return importlib.import_module("tf_keras")
    except ImportError:
        return None


def _known_to_keras_2(tf_keras: Any, item: Mapping[str, Any]) -> bool:
    name, settings = str(item.get("class_name")), item.get("config")
    if name == "Lambda" or str(item.get("module") or "keras").partition(".")[0] not in OWN_MODULES:
        return False
    if name in CALLS:
        return isinstance(settings, Mapping) and settings.get("function") in SAFE_CALLS
    modules = [getattr(tf_keras, module) for module in OWN]
    return name == "Functional" or any(isinstance(getattr(module, name, None), type) for module in modules)


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


def program(source: str | os.PathLike[str], graph: Graph, *, states: str | None = None) -> Program:
    """The Keras that runs a file of ``graph`` as the one that wrote it did, or why there is none here.

    Args:
        source: the path of the file.
        graph: what was read of it.
        states: as it was read, see `keras_side.read`.
    """
    path = Path(source)
    with typed_errors(path.name):
        try:
            with ModelFile(path) as file:
                return _program(file, graph, kept_states(states))
        except MissingDependencyError:
            return Program("numpy", "no keras here")


def _program(file: ModelFile, graph: Graph, states: KeptStates | None) -> Program:
    if any(item.get("class_name") == "Lambda" for item in objects(file.raw)):
        return Program("numpy", "the code of its Lambda is not run")
    if file.origin.generation < 3:
        return _keras_2(file, graph)
    require_keras()
    import keras

    installed = Release(keras.__version__)
    file.origin = installed
    if read_file(file, states) != graph:
        return Program("numpy", f"Keras {installed.version} hands on other masks")
    try:
        return Program("keras", model=load_file(file.path))
    except FileError:
        return Program("numpy", f"Keras {installed.version} cannot load it")


def _keras_2(file: ModelFile, graph: Graph) -> Program:
    if file.origin.standalone:
        return Program("numpy", f"no Keras {file.origin.version} here")
    tf_keras = _tf_keras()
    if tf_keras is None:
        return Program("numpy", "no tf_keras here")
    try:
        classes = _stand_ins(file, tf_keras)
        model = tf_keras.models.load_model(str(file.path), custom_objects=classes, compile=False)
        model = _prediction_of_keras_2(tf_keras, model, ending(file.owner, file.config, file.variables))
    except (ValueError, TypeError, OSError, AttributeError) as error:
        return Program("numpy", f"tf_keras cannot load it: {str(error).partition('.')[0]:.60}")

    def run(inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        arrays = [array.astype(given.dtype.name) for array, given in zip(inputs, model.inputs, strict=True)]
        outputs = model(arrays if len(arrays) > 1 else arrays[0], training=False)
        return [part.numpy() for part in (outputs if isinstance(outputs, list | tuple) else [outputs])]

    kept = stateful_run(model, graph)
    return Program("tf_keras", run=run if kept is None else functools.partial(kept.run, run))


def _prediction_of_keras_2(tf_keras: Any, model: Any, cut: Prediction | None) -> Any:
    """A live model of Keras 2 without the CTC layer that was cut off its file."""
    if cut is None:
        return model
    (node,) = model.get_layer(cut.layer).inbound_nodes
    names = {name for name, *_ in cut.inputs}
    entrances = {id(one) for one in model.inputs}
    (given,) = (one for one in node.keras_inputs if id(one) not in entrances)
    end = node.outputs
    outputs = {id(one): one for one in (given if one is end else one for one in model.outputs)}
    inputs = [one for one in model.inputs if one._keras_history.layer.name in names]
    return tf_keras.Model(inputs, [*outputs.values()])
