"""Where the weights of a layer are in the HDF5 layout of Keras 1, 2 and 3.

The layout keeps one list of arrays for each layer of the outermost model: what is trainable first, then the
rest, and a wrapper's or a model's list runs through the layers inside it (``save_weights_to_hdf5_group`` and
``preprocess_weights_for_loading`` in keras/engine/saving.py of 2.2.4, and in
keras/src/legacy/saving/legacy_h5_format.py of 3.15). Which array is which therefore follows from the
configuration alone; the names they are stored under only tell two orders of a model inside apart.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from biport.errors import BiportError, FileError, WeightError
from keras_side.file.hdf5_reader import Dataset, Group, Hdf5
from keras_side.legacy.weights import (
    Arrays,
    Slot,
    UnplacedError,
    changes,
    layer_entries,
    layer_name,
    slots,
)
from keras_side.mapped import reader_of_class
from keras_side.records import check_order, no_vocabulary, without_special
from keras_side.release import Release


@dataclass
class ListedVariables:
    """The weights of one layer and of the layers inside it; see `keras_side.records.Variables`."""

    owner: str
    arrays: dict[str, Callable[[], np.ndarray]] = field(default_factory=dict)
    modern: Callable[[Arrays], Arrays] | None = None
    inside: dict[str, ListedVariables] = field(default_factory=dict)
    problem: BiportError | None = None
    stored: int = 0
    placed: int = 0
    """How many numbers there are of its own, of a layer inside another."""
    listed: Sequence[tuple[str, Callable[[], np.ndarray]]] | None = None
    """Of a layer of which nobody says what weights it has: all of them, by their names in the file."""

    def count(self) -> int:
        """How many numbers are stored for the layer and the layers inside it."""
        return self.stored or self.placed + sum(inner.count() for inner in self.inside.values())

    def take(self, names: Sequence[str], unread: Sequence[str] = ()) -> Arrays:
        """The layer's own weights, which must be exactly ``names`` and ``unread``."""
        if self.problem is not None:
            raise self.problem
        arrays = {name: read() for name, read in self.arrays.items() if name not in unread}
        if self.modern is not None:
            arrays = self.modern(arrays)
        if sorted(arrays) != sorted(names):
            raise WeightError(f"{self.owner}: expected the weights {list(names)}, found {list(arrays)}")
        return {name: arrays[name] for name in names}

    def own(self, names: Sequence[str]) -> Arrays:
        """The layer's own weights in the order they are stored in."""
        if self.listed is None:
            return self.take(names)
        check_order(self.owner, names, [_ending(name) for name, _ in self.listed])
        return {name: read() for name, (_, read) in zip(names, self.listed, strict=True)}

    def vocabulary(self, given: Sequence[Any] | None, special: Sequence[Any]) -> Sequence[Any]:
        """What the configuration says: HDF5 has no place for any other."""
        if given is None:
            raise no_vocabulary(self.owner)
        return without_special(given, special)

    def own_array(self, name: str) -> None:
        """Nothing: HDF5 has variables alone."""

    def child(self, attribute: str) -> ListedVariables:
        """The weights of the layer that is the attribute ``attribute``."""
        return self._inside(attribute, self.owner)

    def item(self, container: str, index: int, key: str) -> ListedVariables:
        """The weights of one layer of a list."""
        return self._inside(f"{container}.{index}", f"{self.owner}: {key}")

    def layer(self, index: int, key: str, name: str) -> ListedVariables:
        """The weights of the layer called ``name``."""
        return self._inside(name, self.owner)

    def check_all_taken(self) -> None:
        """Nothing to do: how many arrays a layer has was compared with what it takes."""

    def _inside(self, key: str, owner: str) -> ListedVariables:
        problem = self.problem
        if self.listed is not None:
            names = [name for name, _ in self.listed]
            told = "its weights have to be told by path, where its class is told"
            problem = WeightError(f"{owner}: {told}; stored are {names}")
        return self.inside.setdefault(key, ListedVariables(owner, problem=problem))


def listed_variables(hdf5: Hdf5, group: Group, data: Mapping[str, Any], origin: Release) -> ListedVariables:
    """The weights below ``group``, with a group for each layer of the model ``data``.

    Those with weights belong together in order, as Keras itself has it, whatever the file calls them; a layer
    that biport does not know, of which nobody can tell whether it has weights, by its name.

    Raises:
        FileError: the group is not written the way Keras writes one.
        WeightError: the file has weights for layers that the model has not.
    """
    entries = {layer_name(entry): entry for entry in layer_entries(data)}
    if not entries:
        # A subclassed model; told by whoever reads the model.
        return ListedVariables(hdf5.owner)
    lists = {name: _list(hdf5, group, name) for name in hdf5.texts(group, "layer_names") or []}
    filled = [name for name, arrays in lists.items() if arrays]
    if set(filled) <= set(entries):
        wanted = [name for name in entries if name in filled]
    else:
        wanted = [name for name, entry in entries.items() if _takes_weights(entry, origin)]
    if len(wanted) != len(filled):
        left = sorted(set(filled) - set(entries))
        raise WeightError(f"{hdf5.owner}: weights left over, of no layer of the model: {left[:10]}")
    lists = {name: lists[other] for name, other in zip(wanted, filled, strict=True)}
    top = ListedVariables(hdf5.owner)
    for name, entry in entries.items():
        owner = f"{hdf5.owner}: layer {name!r}"
        top.inside[name] = _laid_out(hdf5, owner, entry, lists.get(name, []), origin)
    return top


def _takes_weights(entry: Mapping[str, Any], origin: Release) -> bool:
    try:
        return bool(list(slots(entry, origin)))
    except UnplacedError:
        return True


@dataclass(frozen=True)
class _Stored:
    name: str
    dataset: object

    @property
    def size(self) -> int:
        return self.dataset.size if isinstance(self.dataset, Dataset) else 0


def _list(hdf5: Hdf5, group: Group, name: str) -> list[_Stored]:
    """The arrays of one layer in the order of its weights."""
    own = hdf5.group(group, name)
    if own is None:
        raise FileError(f"{hdf5.owner}: the group of layer {name!r} is missing")
    names = hdf5.texts(own, "weight_names") or []
    return [_Stored(path, hdf5.member(own, path)) for path in names]


def _laid_out(
    hdf5: Hdf5, owner: str, entry: Mapping[str, Any], stored: list[_Stored], origin: Release
) -> ListedVariables:
    """The list of one layer, each array where it belongs."""
    top = ListedVariables(owner, stored=sum(item.size for item in stored))
    try:
        expected = list(slots(entry, origin))
    except UnplacedError as problem:
        if reader_of_class(entry) is not None:
            top.listed = [
                (item.name, lambda item=item: hdf5.array(item.dataset, f"{owner}: {item.name}"))
                for item in stored
            ]
            return top
        # The layers beside the unknown one share its list: where each begins cannot be told.
        return ListedVariables(owner, problem=problem, stored=top.stored)
    if len(expected) != len(stored):
        names = [".".join((*slot.path, slot.name)) for slot in expected]
        own = [item.name for item in stored]
        top.problem = WeightError(f"{owner}: expected the {len(expected)} weights {names}, found {own}")
        return top
    for slot, item in zip(_in_order(expected, stored), stored, strict=True):
        home = top
        for key in slot.path:
            home = home.inside.setdefault(key, ListedVariables(f"{owner}: {key}"))
        home.placed += item.size
        home.arrays[slot.name] = lambda item=item: hdf5.array(item.dataset, f"{owner}: {item.name}")
    for path, change in changes(entry, origin):
        home = top
        for key in path:
            home = home.inside.setdefault(key, ListedVariables(f"{owner}: {key}"))
        home.modern = change
    return top


def _in_order(expected: list[Slot], stored: list[_Stored]) -> list[Slot]:
    """The slots as the list has them: trainable first, unless only the order of the layers fits the names."""
    usual = sorted(expected, key=lambda slot: not slot.trainable)
    return expected if not _fits(usual, stored) and _fits(expected, stored) else usual


def _fits(expected: list[Slot], stored: list[_Stored]) -> bool:
    """Whether every array is called what its slot is, but for numbers behind."""
    return all(slot.name == _ending(item.name) for slot, item in zip(expected, stored, strict=True))


def _ending(name: str) -> str:
    """What an array is called, without numbers behind."""
    return re.sub(r"(_\d+)?(:0)?$", "", name.rpartition("/")[2])
