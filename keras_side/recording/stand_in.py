"""Symbolic tensors in place of a layer's variables, while its code is run on symbolic tensors."""

from __future__ import annotations

import contextlib
import functools
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from biport.errors import UnsupportedError
from keras_side.recording.custom import attributes

CHANGES = ("assign", "assign_add", "assign_sub")


@functools.cache
def _stand_in_class() -> type:
    keras = sys.modules["keras"]

    class SymbolicVariable(keras.KerasTensor):
        """A variable as a symbolic tensor."""

        owner = ""

        @property
        def value(self) -> Any:
            """Itself."""
            return self

        @property
        def path(self) -> str:
            """Its name."""
            return self.name

        def __getattr__(self, name: str) -> Any:
            if name in CHANGES:
                supported = "calls that leave the variables of the layer as they are"
                raise UnsupportedError(self.owner, "call", f"{name} of the variable {self.name!r}", supported)
            raise AttributeError(name)

    return SymbolicVariable


def stand_in(variable: Any, name: str, owner: str) -> Any:
    """A symbolic tensor of the shape and dtype of a variable."""
    keras = sys.modules["keras"]
    dtype = keras.backend.standardize_dtype(variable.dtype)
    tensor = _stand_in_class()(tuple(variable.shape), dtype, name=name)
    tensor.owner = owner
    return tensor


def is_variable(item: Any) -> bool:
    """Whether something is a variable of Keras or of TensorFlow."""
    return hasattr(item, "assign_add") and hasattr(item, "shape") and hasattr(item, "dtype")


@contextlib.contextmanager
def symbolic_variables(layer: Any, of: Callable[[str, Any], Any]) -> Iterator[None]:
    """Have the attributes of a layer that are variables, or lists of them, be what ``of`` gives for them.

    Args:
        layer: whose code is about to run.
        of: from the name of the attribute and the variable to what stands for it.
    """
    own = vars(layer)
    changed = {key: value for key, value in attributes(layer).items() if _has_variables(value)}
    own |= {key: _replaced(key.lstrip("_") or key, value, of) for key, value in changed.items()}
    try:
        yield
    finally:
        own |= changed


def _has_variables(item: Any) -> bool:
    if isinstance(item, Mapping):
        return any(map(_has_variables, item.values()))
    if isinstance(item, list | tuple):
        return any(map(_has_variables, item))
    return is_variable(item)


def _replaced(name: str, item: Any, of: Callable[[str, Any], Any]) -> Any:
    if isinstance(item, Mapping):
        return {key: _replaced(f"{name}.{key}", value, of) for key, value in item.items()}
    if isinstance(item, list | tuple):
        replaced = [_replaced(f"{name}.{number}", value, of) for number, value in enumerate(item)]
        return tuple(replaced) if isinstance(item, tuple) else replaced
    return of(name, item) if is_variable(item) else item
