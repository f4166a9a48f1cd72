"""A module is what it was, whatever happened to it."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from torch import nn

CONTAINERS = (list, dict, set)


class Snapshot:
    """The attributes of a module and of all in it; tensors are not copied, since nobody writes into them."""

    def __init__(self, module: nn.Module) -> None:
        self._attributes = [(part, dict(vars(part))) for part in module.modules()]
        self._contents = [
            (value, copy.copy(value))
            for _, attributes in self._attributes
            for value in attributes.values()
            if isinstance(value, CONTAINERS)
        ]
        self._paths = {id(part): path for path, part in module.named_modules()}

    def changed(self) -> Iterator[str]:
        """The paths of attributes that are others by now."""
        for part, attributes in self._attributes:
            for name, value in vars(part).items():
                before: Any = attributes.get(name, self)
                if before is not value and not name.startswith("_flat_weight"):
                    yield f"{self._paths[id(part)]}.{name}".lstrip(".")
        for container, before in self._contents:
            if len(container) != len(before):
                yield from self._names_of(container)

    def _names_of(self, container: Any) -> Iterator[str]:
        for part, attributes in self._attributes:
            for name, value in attributes.items():
                if value is container:
                    yield f"{self._paths[id(part)]}.{name}".lstrip(".")

    def restore(self) -> None:
        """Put every attribute back."""
        for part, attributes in self._attributes:
            vars(part).clear()
            vars(part).update(attributes)
        for container, before in self._contents:
            container.clear()
            if isinstance(container, list):
                container.extend(before)
            else:
                container.update(before)
