"""A model file with code of its author's own, loaded once that code is handed over by name.

Nothing in the file is run: Keras loads it in safe mode, with the classes and functions that somebody gives. A
Lambda's function, which a file has as bytecode, is never looked at: a function of the layer's name stands for
it.
"""

from __future__ import annotations

import contextlib
import copy
import json
import sys
import tempfile
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from biport.errors import BiportError, FileError, InputError, UnsupportedError, raise_unsupported
from biport.graph import Graph
from keras_side.file.listed_weights import ListedVariables
from keras_side.file.model_file import CONFIG, Format, ModelFile, needs_config
from keras_side.file.objects import known_to_keras_3, objects
from keras_side.parts import parts
from keras_side.reading.live_model import reason
from keras_side.reading.mask_expressions import is_operation
from keras_side.records import MODELS
from keras_side.require import require_keras
from keras_side.typed_errors import typed_errors

if TYPE_CHECKING:
    import keras

OPERATION_MODULES = ("numpy", "nn", "core", "math", "linalg")
"""Of ``keras.src.ops``."""
Code = ModuleType | Mapping[str, Any]
"""A module with the classes and functions of a model, or these by name."""


def load_with_code(path: str | Path, code: Code) -> keras.Model:
    """Load a ``.keras`` file of Keras 3, or an ``.h5`` file, with classes and functions of one's own.

    Args:
        path: the file; it is only read.
        code: a module, or ``custom_objects`` as Keras takes them. For a Lambda it has a function of the
            layer's name: what the layer does to its input.

    Raises:
        FileError: the file is damaged, or Keras cannot load it.
        UnsupportedError: the code lacks a class or a function; or the file is an archive of Keras 2.
        MissingDependencyError: keras or its backend is not installed.
    """
    require_keras()
    path, given = Path(path), named_objects(code)
    with typed_errors(path.name):
        if needs_config(path):
            raise InputError(f"{path}: holds weights alone; code goes with a file that holds the model")
        with ModelFile(path) as file:
            config, archive = copy.deepcopy(dict(file.config)), file.format is Format.ARCHIVE
            if archive and file.origin.generation < 3:
                supported = "files of Keras 3, and .h5 files"
                raise UnsupportedError(f"{path.name}: code", "Keras", file.origin.version, supported)
    if not archive:
        _find_modules(config, given)
    _name_functions(config, given)
    raise_unsupported(path.name, list(_missing(path.name, config, given)))
    with _loading(path), tempfile.TemporaryDirectory() as folder:
        if archive:
            renamed = Path(folder) / f"model{path.suffix}"
            _rewrite(path, renamed, config)
            return _load_archive(renamed, given)
        return _load_hdf5(path, config, given)


def check_meaning(path: str | Path, graph: Graph) -> None:
    """Refuse a file of Keras 2 whose layers get masks: Keras 3, which ran its code, has other rules for them.

    Raises:
        UnsupportedError: it is one.
    """
    with typed_errors(Path(path).name), ModelFile(Path(path)) as file:
        origin = file.origin
    masked = next((node.name for node in graph.nodes if any(node.masks)), None)
    if origin.generation < 3 and masked is not None:
        supported = "files of Keras 3, or models without masks: Keras 2 hands them on by other rules"
        owner = f"{Path(path).name}: layer {masked!r}"
        raise UnsupportedError(owner, "mask", f"in a file of Keras {origin.version} with code", supported)


def named_objects(code: Code) -> dict[str, Any]:
    """The classes and functions of a module by name; of a mapping, what it has."""
    if isinstance(code, Mapping):
        return dict(code)
    return {name: item for name, item in vars(code).items() if callable(item) and not name.startswith("__")}


def _missing(owner: str, config: Mapping[str, Any], given: Mapping[str, Any]) -> Iterator[UnsupportedError]:
    """What a file needs and nobody gave."""
    for item in objects(config):
        if known_to_keras_3(item):
            continue
        name, settings = str(item.get("class_name")), item.get("config")
        layer = settings.get("name") if isinstance(settings, Mapping) else None
        if name == "Lambda":
            if isinstance(settings, Mapping) and settings.get("function") is None:
                supported = f"code with a function {layer!r} of its input: that in the file is never run"
                owner_of = f"{owner}: layer {layer!r} (Lambda)"
                yield UnsupportedError(owner_of, "function", "not handed over", supported)
        elif name == "function":
            if settings not in given and str(item.get("registered_name")) not in given:
                yield UnsupportedError(f"{owner}: function {settings!r}", "code", "without it", sorted(given))
        elif not {name, str(item.get("registered_name"))} & given.keys():
            problem = UnsupportedError(
                f"{owner}: layer {layer!r} ({name})", "code", "without it", sorted(given)
            )
            problem.of_layer(str(layer), name)
            yield problem


def _function_of(settings: object, given: Mapping[str, Any]) -> str | None:
    """The function that stands for a Lambda's: one of the layer's name, or else of the function's own."""
    match settings:
        case {"name": str(name)} if name in given:
            return name
        case {"function": {"class_name": "function", "config": str(name)} | str(name)} if name in given:
            return name
    return None


def _name_functions(config: dict[str, Any], given: Mapping[str, Any]) -> None:
    """Have every Lambda take the function that was given for it, or none."""
    for item in parts(config):
        settings = item.get("config")
        if item.get("class_name") == "Lambda" and isinstance(settings, dict):
            name = _function_of(settings, given)
            named = {"module": None, "class_name": "function", "config": name, "registered_name": "function"}
            settings["function"] = None if name is None else named


def _rewrite(path: Path, target: Path, config: Mapping[str, Any]) -> None:
    """A copy of an archive with another configuration."""
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(target, "w") as other:
        for name in archive.namelist():
            other.writestr(name, json.dumps(config) if name == CONFIG else archive.read(name))


@contextlib.contextmanager
def _loading(path: Path) -> Iterator[None]:
    """Have whatever Keras, or the user's classes, raise name the file."""
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*does not support masking.*")
            yield
    except BiportError:
        raise
    except Exception as error:  # The user's classes are made and built, and may fail in any way.
        raise FileError(f"{path}: Keras cannot load it with this code: {reason(error)}") from error


def _load_archive(path: Path, given: Mapping[str, Any]) -> Any:
    import keras

    return keras.saving.load_model(path, custom_objects=dict(given), compile=False)


def _load_hdf5(path: Path, config: dict[str, Any], given: Mapping[str, Any]) -> Any:
    """A model of HDF5 in the words of Keras 3, which loads no functional model with operations from such."""
    import keras

    model: Any = keras.saving.deserialize_keras_object(config, custom_objects=dict(given))
    with ModelFile(path) as file:
        assert isinstance(file.variables, ListedVariables)
        stored = {name for name, own in file.variables.inside.items() if own.count()}
    missing = sorted(layer.name for layer in model.layers if layer.weights and layer.name not in stored)
    if missing:
        said = f"the weights of {', '.join(missing)} are not in it under these names"
        raise FileError(f"{path}: {said}: get_config of a custom class has to keep the name")
    model.load_weights(path, by_name=True)
    return model


def _find_modules(config: dict[str, Any], given: Mapping[str, Any]) -> None:
    """Say of models and operations which module of Keras has them, as archives do and HDF5 does not."""
    keras: Any = sys.modules["keras"]
    for part in parts(config):
        item: Any = part
        name, module = str(item.get("class_name")), item.get("module")
        if module == "keras.layers" and name in MODELS:
            sequential = {"module": "keras", "class_name": "Sequential", "registered_name": None}
            functional = {"class_name": "Functional", "registered_name": "Functional"}
            functional["module"] = "keras.src.models.functional"
            item |= sequential if name == "Sequential" else functional
        elif module == "keras.layers" and (name in given or not hasattr(keras.layers, name)):
            item |= {"module": "builtins", "registered_name": item.get("registered_name") or name}
        elif is_operation(module):
            modules = [getattr(keras.src.ops, one, None) for one in OPERATION_MODULES]
            own = next((one for one in modules if hasattr(one, name)), None)
            item["module"] = None if own is None else own.__name__
