"""A live model left as it was, whatever its code changes while it is run."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def put_back(model: Any) -> Iterator[None]:
    """Put the attributes of all layers back, and the lists that Keras keeps of their calls and losses."""
    layers = {id(layer): layer for layer in (model, *model._flatten_layers(include_self=False))}
    attributes = {key: dict(vars(layer)) for key, layer in layers.items()}
    lists = [
        (value, list(value))
        for own in attributes.values()
        for value in own.values()
        if isinstance(value, list)
    ]
    try:
        yield
    finally:
        for key, layer in layers.items():
            own = vars(layer)
            own.clear()
            own |= attributes[key]
        for value, before in lists:
            if len(value) != len(before) or any(a is not b for a, b in zip(value, before, strict=True)):
                list.clear(value)
                list.extend(value, before)
