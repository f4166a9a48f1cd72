"""Classes of somebody's own that a function says the ops of, so that none of their code is run."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from biport.errors import InputError
from keras_side.registry import READERS

Names = Sequence[str]
"""The weights of a layer, those of layers inside it by path: ``"score.kernel"``."""


@dataclass(frozen=True)
class ClassReader:
    """How layers of a class are read.

    Args:
        function: of a `keras_side.MappedLayer`; gives what the layer gives.
        weights: the layer's weights in the order that Keras lists them, of a configuration; ``None`` where
            nothing is said.
        states: of a cell, the sizes of its states.
    """

    function: Callable[[Any], Any]
    weights: Callable[[Mapping[str, Any]], Names] | None = None
    states: Callable[[Mapping[str, Any]], Sequence[int]] | None = None


CLASSES: dict[tuple[str, str | None], ClassReader] = {}
"""By class, and the name of a layer where a function reads that one alone."""


def reads_class(
    class_name: str,
    *,
    layer: str | None = None,
    weights: Names | Callable[[Mapping[str, Any]], Names] | None = None,
    states: Callable[[Mapping[str, Any]], Sequence[int]] | None = None,
) -> Callable[[Callable[[Any], Any]], Callable[[Any], Any]]:
    """Decorate the function that says what a layer of somebody's own is in known ops.

    The function is called whenever such a layer is called, in files and in live models, in place of the
    class's own code, which is not run; of a live model it is compared with that. It is given a
    `keras_side.MappedLayer`, and gives what the layer gives. Said twice of one class, the last word counts.

    Args:
        class_name: the registered name, ``"package>AttentionPool"``, or the name of a class that is not
            registered, with its module, ``"mylib.AttentionPool"``, or without. Where a file does not say
            whose a class is, as those of Keras 2 and HDF5 do not, this comes before Keras' own of that name.
        layer: the name of the one layer that is meant; a Lambda needs it.
        weights: the layer's weights in the order of ``layer.weights``, those of layers inside it by path,
            ``"score.kernel"``; or a function that gives them of its configuration. HDF5 files need them
            where the layer has others inside, or is inside another.
        states: of a cell, which an ``RNN`` steps with: the sizes of its states, of its configuration. The
            function is given one step, ``(N, I)``, and the states, and gives the output and the new states.

    Raises:
        InputError: it is said of every Lambda.

    Example:
        >>> import keras_side
        >>> @keras_side.reads_class("mylib>Doubled")
        ... def doubled(layer):
        ...     return layer.input * 2.0
    """
    if class_name == "Lambda" and layer is None:
        raise InputError("Lambda: reads_class has to be told of which layer, each has a function of its own")
    given = weights if weights is None or callable(weights) else lambda _: weights

    def keep(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
        CLASSES[class_name, layer] = ClassReader(function, given, states)
        return function

    return keep


def reader_of_class(entry: Mapping[str, Any]) -> ClassReader | None:
    """Who reads a serialised layer in place of its class.

    Args:
        entry: as it is in the configuration of a model; of a file that names no modules, in the words of its
            Keras or of Keras 3.
    """
    if not CLASSES:
        return None
    config = entry.get("config")
    layer = config.get("name") if isinstance(config, Mapping) else None
    class_name, module = str(entry.get("class_name")), str(entry.get("module") or "")
    said = "module" in entry and "stored_class" not in entry
    if said and module.split(".")[0] == "keras" and class_name in READERS:
        return None
    names = (entry.get("registered_name"), entry.get("stored_class"), f"{module}.{class_name}", class_name)
    keys = ((str(name), which) for which in (layer, None) for name in names)
    return next((CLASSES[key] for key in keys if key in CLASSES), None)


def reader_of_live(layer: Any) -> ClassReader | None:
    """Who reads a live layer in place of its code."""
    kind = type(layer)
    entry = {
        "class_name": kind.__name__,
        "module": kind.__module__,
        "registered_name": sys.modules["keras"].saving.get_registered_name(kind),
        "config": {"name": layer.name},
    }
    return reader_of_class(entry)
