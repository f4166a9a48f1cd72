"""Which layers of a live model are code that no configuration tells, and what they are called by."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from keras_side.mapped import reader_of_live
from keras_side.reading.live_model import is_as_named
from keras_side.registered import FUNCTIONS
from keras_side.shared.recurrent import CONV_LSTMS

OWN = ("keras.src.", "keras_side.layers", "keras_side.registered")
"""Modules whose layers compute what their configurations say."""
SAYS_WHAT_IT_DOES = (
    "__call__",
    "call",
    "compute_mask",
    "get_initial_state",
    "inner_loop",
    "compute_output_spec",
)
"""What makes a layer compute something else than the class it is made of, where it is somebody's own."""
STAY_WHOLE = ("Bidirectional", "GRU", "LSTM", "RNN", "SimpleRNN", "TimeDistributed", *CONV_LSTMS)
"""Layers that call what is inside of them once a step; see `keras_side.recording.recurrence`."""
CONTAINERS = ("Functional", "Sequential")
_BOOKS = (
    *("_compile_loss", "_compile_metrics", "_dtype_policy", "_functional", "_inbound_nodes", "_layers"),
    *("_loss_ids", "_losses", "_metrics", "_non_trainable_variables", "_optimizer", "_outbound_nodes"),
    *("_parent_path", "_seed_generators", "_tracker", "_trainable_variables", "loss", "optimizer"),
)
"""Attributes of layers that are Keras' own books."""


def attributes(layer: Any) -> dict[str, Any]:
    """The attributes of a layer that are its author's, public ones first."""
    own = {key: value for key, value in vars(layer).items() if key not in _BOOKS and key[:6] != "_self_"}
    return dict(sorted(own.items(), key=lambda item: item[0].startswith("_")))


def keras_class(layer: Any) -> type:
    """The class of Keras' own that a layer is, or is made of."""
    return next(base for base in type(layer).__mro__ if base.__module__.startswith(OWN))


def is_own(function: Any) -> bool:
    """Whether a function is Keras' own."""
    return str(getattr(function, "__module__", "")).startswith(("keras.", *OWN))


def is_plain(layer: Any) -> bool:
    """Whether a layer computes what its class of Keras' own does, whatever it adds for training."""
    overridden = [getattr(type(layer), name, None) for name in SAYS_WHAT_IT_DOES]
    return all(is_own(function) for function in overridden if function is not None)


def has_own_functions(layer: Any) -> bool:
    """Whether its activations are layers of Keras' own, or functions that compute what their names say."""
    functions = [getattr(layer, key, None) for key in ("activation", "recurrent_activation")]
    return all(_is_known(one) for one in functions if callable(one))


def _is_known(function: Any) -> bool:
    if not hasattr(function, "__name__"):
        return is_own(type(function))
    return is_as_named(function) or function in FUNCTIONS


def is_container(layer: Any) -> bool:
    """Whether a layer is a model that says which layers it has and how it calls them."""
    return keras_class(layer).__name__ in CONTAINERS and is_plain(layer)


def recurrent_classes() -> list[type]:
    """Classes of Keras' own that call a cell once a step."""
    keras = sys.modules["keras"]
    return [getattr(keras.layers, name) for name in STAY_WHOLE if name != "TimeDistributed"]


def stays_whole(layer: Any) -> bool:
    """Whether a layer is one around steps, whatever these are."""
    return keras_class(layer).__name__ in STAY_WHOLE and is_plain(layer)


def is_custom(layer: Any) -> bool:
    """Whether what a layer computes is told by running its code alone; layers inside it not counted."""
    if reader_of_live(layer) is not None:
        return False
    own = keras_class(layer).__name__
    if stays_whole(layer):
        return False
    return own in ("Lambda", "Layer", "Model") or not (is_plain(layer) and has_own_functions(layer))


def is_foreign(layer: Any) -> bool:
    """Whether a layer is of a class that is not Keras' own."""
    return type(layer) is not keras_class(layer)


def has_custom(layer: Any) -> bool:
    """Whether a layer or one inside it is custom, or of a class that is not Keras' own."""
    return any(is_custom(one) or is_foreign(one) for one in _run(layer))


def has_mapped(layer: Any) -> bool:
    """Whether a layer or one inside it is read in place of its code, by who said what its class is."""
    inside = (layer, *layer._flatten_layers(include_self=False))
    return any(reader_of_live(one) is not None for one in inside)


def _run(layer: Any) -> Iterator[Any]:
    """A layer and those inside it, but for those that somebody says the ops of, and what is inside these."""
    if reader_of_live(layer) is None:
        yield layer
        for inner in layer._flatten_layers(include_self=False, recursive=False):
            yield from _run(inner)


def parts(layer: Any) -> Iterator[tuple[str, Any]]:
    """The layers that a layer holds, by their names in a path: of a model its own, else the attributes."""
    if is_container(layer):
        function = getattr(layer, "_functional", None) or layer
        yield from ((one.name, one) for one in getattr(function, "operations", layer.layers))
        return
    seen: set[int] = set()
    for key, value in attributes(layer).items():
        for path, one in inside(key.lstrip("_") or key, value, _is_layer):
            if id(one) not in seen:
                seen.add(id(one))
                yield path, one


def _is_layer(item: Any) -> bool:
    return isinstance(item, sys.modules["keras"].layers.Layer)


def inside(path: str, item: Any, wanted: Callable[[Any], bool]) -> Iterator[tuple[str, Any]]:
    """What is wanted of an attribute: itself, or what is in the lists and mappings that it is made of."""
    if wanted(item):
        yield path, item
    elif isinstance(item, Mapping):
        for key, part in item.items():
            yield from inside(f"{path}.{key}", part, wanted)
    elif isinstance(item, list | tuple):
        for number, part in enumerate(item):
            yield from inside(f"{path}.{number}", part, wanted)


def paths(model: Any, prefix: str = "") -> dict[int, str]:
    """By the identity of each layer inside a model whose code is run: its path, behind the model's own."""
    named: dict[int, str] = {id(model): prefix}
    waiting = [model]
    while waiting:
        layer = waiting.pop(0)
        if not _is_layer(layer):
            continue
        if not (is_container(layer) or is_custom(layer)):
            continue
        for name, part in parts(layer):
            if id(part) not in named:
                named[id(part)] = f"{named[id(layer)]}.{name}".lstrip(".")
                waiting.append(part)
    return named
