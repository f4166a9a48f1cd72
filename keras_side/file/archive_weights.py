"""Where the weights of a layer are in a Keras archive, by the layer's class and number."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from biport.errors import FileError, WeightError
from keras_side.file.archive import read_text
from keras_side.file.hdf5_reader import Group, Hdf5
from keras_side.legacy.weights import from_cudnn_cell
from keras_side.records import no_vocabulary, without_special


@dataclass(frozen=True)
class FileVariables:
    """A group of the weights of an archive.

    Args:
        hdf5: the open file.
        group: the group, or ``None`` where the file has none.
        owner: how errors call it.
        archive: the file that they are part of, which has texts beside them; ``None`` where there is none.
        path: of the group.
    """

    hdf5: Hdf5
    group: Group | None
    owner: str
    archive: Path | None = None
    path: str = ""
    containers: ClassVar[Sequence[str]] = ("layers",)

    def take(self, names: Sequence[str], unread: Sequence[str] = ()) -> dict[str, np.ndarray]:
        """The arrays stored as ``vars/0``, ``vars/1``, ...; see `keras_side.records.Variables.take`."""
        stored = self.hdf5.group(self.group, "vars") or ()
        every = [*names, *unread]
        wanted = [str(index) for index in range(len(every))]
        if len(stored) != len(wanted) or set(stored) != set(wanted):
            raise WeightError(f"{self.owner}: expected the {len(every)} weights {every}, found {len(stored)}")
        return {
            name: self.hdf5.array(self.hdf5.member(stored, key), f"{self.owner}: {name}")
            for name, key in zip(names, wanted, strict=False)
        }

    def own(self, names: Sequence[str]) -> dict[str, np.ndarray]:
        """As `take`: an archive numbers them."""
        return FileVariables.take(self, names)

    def vocabulary(self, given: Sequence[Any] | None, special: Sequence[Any]) -> Sequence[Any]:
        """What the configuration says, or else the lines of a file beside the weights.

        Raises:
            FileError: a line has characters in it at which some releases of Keras divide it.

        Source: keras/src/layers/preprocessing/index_lookup.py of 3.15, ``load_assets``.
        """
        if given is not None:
            return without_special(given, special)
        if self.archive is None:
            raise no_vocabulary(self.owner)
        text = read_text(self.archive, f"assets/{self.path}/vocabulary.txt").rstrip("\n")
        lines = text.splitlines()
        if lines != text.split("\n"):
            raise FileError(
                f"{self.owner}: a token of its vocabulary.txt has a line break in it, at which "
                "Keras divides it when it loads the file; read the live model that was saved"
            )
        return without_special(lines, [str(token) for token in special])

    def own_array(self, name: str) -> np.ndarray | None:
        """The array of this name, of the layer or, where Keras keeps it twice, of the lookup inside it."""
        groups = [self.hdf5.group(self.group, path) for path in ("vars", "_lookup_layer/vars")]
        arrays = [
            self.hdf5.array(self.hdf5.member(group, name), f"{self.owner}: {name}")
            for group in groups
            if group is not None and name in group
        ]
        return arrays[0] if arrays else None

    def child(self, attribute: str) -> FileVariables:
        """The group of the layer that is the attribute ``attribute``."""
        return self._below(attribute, attribute)

    def item(self, container: str, index: int, key: str) -> FileVariables:
        """The group of one layer of a list, ``<container>/<key>``."""
        return self._below(f"{container}/{key}", key)

    def layer(self, index: int, key: str, name: str) -> FileVariables:
        """The group of a model's layer."""
        return self.item("layers", index, key)

    def count(self) -> int:
        """How many numbers are stored in the group."""
        return self.hdf5.count(self.group)

    def check_all_taken(self) -> None:
        """Refuse a file with weights of layers that its model has not.

        Raises:
            WeightError: it does.
        """
        left = self.hdf5.left_over(self.group, self.containers)
        if left:
            raise WeightError(f"{self.owner}: weights left over, of no layer of the model: {left[:10]}")

    def _below(self, path: str, label: str) -> FileVariables:
        group, inside = self.hdf5.group(self.group, path), f"{self.path}/{path}".lstrip("/")
        return type(self)(self.hdf5, group, f"{self.owner}: {label}", self.archive, inside)


class FileVariables2(FileVariables):
    """A group of the weights of an archive of Keras 2.

    Keras 2.12 to 2.14 list a model's layers under another name, those with weights twice, and number both
    (keras/saving/saving_lib.py of 2.12, ``_save_container_state``; keras/engine/functional.py,
    ``_layer_checkpoint_dependencies``), so that numbers are left out. The layers of CuDNN have no cell.
    """

    containers = ("layers", "_layer_checkpoint_dependencies")

    @cached_property
    def _numbers(self) -> Mapping[str, Mapping[str, list[int]]]:
        """For each list of layers that is there, by kind, the numbers behind the names."""
        numbers: dict[str, dict[str, list[int]]] = {}
        for container in self.containers:
            group = self.hdf5.group(self.group, container)
            if group is not None:
                kinds = numbers.setdefault(container, {})
                for kind, number in sorted(map(_numbered, group)):
                    kinds.setdefault(kind, []).append(number)
        return numbers

    def take(self, names: Sequence[str], unread: Sequence[str] = ()) -> dict[str, np.ndarray]:
        """As of any archive; weights of CuDNN become those of the cell."""
        return from_cudnn_cell(super().take(names, unread))

    def child(self, attribute: str) -> FileVariables:
        """The group of the layer that is the attribute ``attribute``, or what that once was.

        A layer of CuDNN is its own cell; the products of a MultiHeadAttention were not public.
        """
        if attribute == "cell" and self.hdf5.group(self.group, "cell") is None:
            return self
        hidden = self.hdf5.group(self.group, attribute) is None
        return super().child(f"_{attribute}" if hidden else attribute)

    def layer(self, index: int, key: str, name: str) -> FileVariables:
        """The group of a model's layer: of all of its class in the file, the one as far down."""
        kind, number = _numbered(key)
        for container, kinds in self._numbers.items():
            stored = kinds.get(kind, [])
            own = stored[number] if number < len(stored) else number
            return self.item(container, index, f"{kind}_{own}" if own else kind)
        return super().layer(index, key, name)


def _numbered(key: str) -> tuple[str, int]:
    """``lstm_2`` as ``("lstm", 2)``, ``lstm`` as ``("lstm", 0)``."""
    match = re.fullmatch(r"(.*?)(?:_([1-9]\d{0,5}))?", key, re.DOTALL)
    assert match is not None
    return match[1], int(match[2] or 0)
