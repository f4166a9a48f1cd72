"""What the variables of a layer are called, by the attributes that they are."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import Any

from keras_side.recording.custom import attributes, inside


def named_variables(layer: Any, path: str, paths: Mapping[int, str]) -> dict[int, tuple[str, Any]]:
    """By the identity of each variable of TensorFlow: its name, and the variable of Keras that it is of.

    Args:
        layer: all whose attributes are looked at, those of layers and modules in them too.
        path: of the layer.
        paths: of other layers, by their identity.
    """
    named: dict[int, tuple[str, Any]] = {}
    seen: set[int] = set()
    waiting = [(path, layer)]
    while waiting:
        prefix, owner = waiting.pop(0)
        for name, item in _attributes(prefix, owner):
            if _is_variable(item):
                named.setdefault(id(getattr(item, "_value", item)), (name, item))
            elif id(item) not in seen:
                seen.add(id(item))
                waiting.append((paths.get(id(item)) or name, item))
    return named


def _attributes(prefix: str, owner: Any) -> Iterator[tuple[str, Any]]:
    """The variables, layers and modules that are attributes of something, or in lists that are."""
    for key, value in attributes(owner).items():
        own = key.lstrip("_") or key
        yield from inside(f"{prefix}.{own}" if prefix else own, value, _is_wanted)


def _is_wanted(item: Any) -> bool:
    layers = sys.modules["keras"].layers.Layer | sys.modules["tensorflow"].Module
    return _is_variable(item) or isinstance(item, layers)


def _is_variable(item: Any) -> bool:
    return isinstance(item, sys.modules["keras"].Variable | sys.modules["tensorflow"].Variable)
