"""Exact-type dispatch: one function per key, no inheritance, no duplicates."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Callable, Hashable, Iterator
from types import ModuleType
from typing import Generic, TypeVar

from biport.errors import UnsupportedError

Key = TypeVar("Key", bound=Hashable)
Function = TypeVar("Function")


def label(key: Hashable) -> str:
    """How a key is shown to a person: a type by its name."""
    return key.__name__ if isinstance(key, type) else str(key)


def snake_case(name: str) -> str:
    """A class's name as a module's.

    Example:
        >>> snake_case("GlobalMaxPooling1D"), snake_case("LSTM")
        ('global_max_pooling1d', 'lstm')
    """
    name = re.sub(r"\W+", "", name)
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


class Registry(Generic[Key, Function]):
    """The functions that handle each kind of thing.

    Args:
        purpose: what the functions do, shown when a key is missing: ``"Keras layer"``.

    Example:
        >>> READERS = Registry("Keras layer")
        >>> @READERS.register("Dense")
        ... def read_dense(config):
        ...     return config["units"]
        >>> READERS.lookup("Dense", "layer 'y'")({"units": 3})
        3
        >>> READERS.lookup("Lambda", "layer 'y'")
        Traceback (most recent call last):
        biport.errors.UnsupportedError: layer 'y': Keras layer='Lambda' is not supported; supported: Dense.
    """

    def __init__(self, purpose: str) -> None:
        self.purpose = purpose
        self._functions: dict[Key, Function] = {}

    def register(self, *keys: Key) -> Callable[[Function], Function]:
        """Decorate the function that handles ``keys``.

        Raises:
            ValueError: one of the keys already has a function.
        """

        def keep(function: Function) -> Function:
            for key in keys:
                if key in self._functions:
                    raise ValueError(f"{self.purpose}: {label(key)} is registered twice")
                self._functions[key] = function
            return function

        return keep

    def lookup(self, key: Key, owner: str) -> Function:
        """The function for exactly ``key``.

        Raises:
            UnsupportedError: there is none; it names ``owner`` and what is supported.
        """
        if key not in self._functions:
            raise UnsupportedError(owner, self.purpose, label(key), self.supported())
        return self._functions[key]

    def supported(self) -> list[str]:
        """The registered keys, by name, sorted."""
        return sorted(label(key) for key in self._functions)

    def __contains__(self, key: object) -> bool:
        return key in self._functions

    def __iter__(self) -> Iterator[Key]:
        return iter(self._functions)


def discover(package: ModuleType) -> None:
    """Import every module of ``package`` so that its functions register themselves.

    This is what makes a new op a new file: no list of imports has to grow.
    """
    for module in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
        importlib.import_module(module.name)
