"""Where the weights of a layer are in the HDF5 layout of Keras 1, 2 and 3.

The layout keeps one list of arrays for each layer of the outermost model: what is trainable first, then the
rest, and a wrapper's or a model's list runs through the layers inside it (``save_weights_to_hdf5_group`` and
``preprocess_weights_for_loading`` in keras/engine/saving.py of 2.2.4, and in
keras/src/legacy/saving/legacy_h5_format.py of 3.15). Which array is which therefore follows from the
configuration alone; the names they are stored under only tell two orders of a model inside apart.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from biport.errors import BiportError, FileError, UnsupportedError, WeightError
from keras_side.hdf5 import Dataset, Group, Hdf5
from keras_side.legacy.layers import CLASSES
from keras_side.legacy.nodes import MODELS
from keras_side.legacy.origin import Origin
from keras_side.registry import READERS

Arrays = dict[str, np.ndarray]
Place = tuple[str, ...]
"""Where a layer is inside the outermost one: ``("forward_layer", "cell")``."""

MODERN_1 = {
    "W": "kernel",
    "U": "recurrent_kernel",
    "b": "bias",
    "running_mean": "moving_mean",
    "running_std": "moving_variance",
}
"""What weights of Keras 1 are called since; its ``running_std`` is a variance
(keras/layers/normalization.py of 1.2.2)."""

LSTM_1, GRU_1 = "icfo", "zrh"
"""In which order Keras 1 lists the gates, three weights each (keras/layers/recurrent.py of 1.2.2)."""


class UnplacedError(UnsupportedError):
    """The weights of a layer cannot be told from those of one beside it that biport does not know."""


@dataclass(frozen=True)
class Slot:
    """One array of a list: what it is, and whether it stands among the trainable ones."""

    place: Place
    name: str
    trainable: bool


@dataclass
class StoredVariables:
    """The weights of one layer and of the layers inside it; see `keras_side.records.Variables`."""

    owner: str
    arrays: dict[str, Callable[[], np.ndarray]] = field(default_factory=dict)
    modern: Callable[[Arrays], Arrays] | None = None
    inside: dict[str, StoredVariables] = field(default_factory=dict)
    problem: BiportError | None = None
    stored: int = 0

    def count(self) -> int:
        """How many numbers are stored for the layer and the layers inside it."""
        return self.stored + sum(inner.count() for inner in self.inside.values())

    def take(self, names: Sequence[str]) -> Arrays:
        """The layer's own weights, which must be exactly ``names``."""
        if self.problem is not None:
            raise self.problem
        found = {name: read() for name, read in self.arrays.items()}
        if self.modern is not None:
            found = self.modern(found)
        if sorted(found) != sorted(names):
            raise WeightError(f"{self.owner}: expected the weights {list(names)}, found {list(found)}")
        return {name: found[name] for name in names}

    def child(self, attribute: str) -> StoredVariables:
        """The weights of the layer held under ``attribute``."""
        return self._inside(attribute, self.owner)

    def item(self, container: str, index: int, key: str) -> StoredVariables:
        """The weights of one layer of a list."""
        return self._inside(f"{container}.{index}", f"{self.owner}: {key}")

    def layer(self, index: int, key: str, name: str) -> StoredVariables:
        """The weights of the layer called ``name``."""
        return self._inside(name, self.owner)

    def check_all_taken(self) -> None:
        """Nothing to do: how many arrays a layer has was compared with what it takes."""

    def _inside(self, key: str, owner: str) -> StoredVariables:
        return self.inside.setdefault(key, StoredVariables(owner, problem=self.problem))


def stored_variables(hdf5: Hdf5, group: Group, data: Mapping[str, Any], origin: Origin) -> StoredVariables:
    """The weights below ``group``, which holds a group for each layer of the model ``data``.

    Where the layers of the file have other names than those of the model, as when its configuration was
    written in another session, those with weights belong together in order, as Keras itself has it.

    Raises:
        FileError: the group is not written the way Keras writes one.
        WeightError: the file has weights for layers that the model has not.
    """
    entries = {_name(entry): entry for entry in _entries(data)}
    lists = {name: _list(hdf5, group, name) for name in hdf5.texts(group, "layer_names") or []}
    filled = [name for name, found in lists.items() if found]
    if not set(filled) <= set(entries):
        wanted = [name for name, entry in entries.items() if _takes_weights(entry, origin)]
        if len(wanted) != len(filled):
            left = sorted(set(filled) - set(entries))
            raise WeightError(f"{hdf5.owner}: weights left over, of no layer of the model: {left[:10]}")
        lists = {name: lists[other] for name, other in zip(wanted, filled, strict=True)}
    top = StoredVariables(hdf5.owner)
    for name, entry in entries.items():
        owner = f"{hdf5.owner}: layer {name!r}"
        top.inside[name] = _laid_out(hdf5, owner, entry, lists.get(name, []), origin)
    return top


def _entries(data: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    config = data.get("config")
    layers = config.get("layers") if isinstance(config, Mapping) else None
    return [entry for entry in layers if isinstance(entry, Mapping)] if isinstance(layers, list) else []


def _name(entry: Mapping[str, Any]) -> str:
    config = entry.get("config")
    return str((config.get("name") if isinstance(config, Mapping) else None) or entry.get("name"))


def _takes_weights(entry: Mapping[str, Any], origin: Origin) -> bool:
    try:
        return bool(list(_slots(entry, (), True, origin)))
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
    return [_Stored(found, hdf5.member(own, found)) for found in names]


def _laid_out(
    hdf5: Hdf5, owner: str, entry: Mapping[str, Any], stored: list[_Stored], origin: Origin
) -> StoredVariables:
    """The list of one layer, each array where it belongs."""
    top = StoredVariables(owner, stored=sum(item.size for item in stored))
    try:
        slots = list(_slots(entry, (), True, origin))
    except UnplacedError as problem:
        # The layers beside the unknown one share its list: where each begins cannot be told.
        return StoredVariables(owner, problem=problem, stored=top.stored)
    if len(slots) != len(stored):
        names = [".".join((*slot.place, slot.name)) for slot in slots]
        found = [item.name for item in stored]
        top.problem = WeightError(f"{owner}: expected the {len(slots)} weights {names}, found {found}")
        return top
    for slot, item in zip(_in_order(slots, stored), stored, strict=True):
        home = top
        for key in slot.place:
            home = home.inside.setdefault(key, StoredVariables(f"{owner}: {key}"))
        home.arrays[slot.name] = lambda item=item: hdf5.array(item.dataset, f"{owner}: {item.name}")
    for place, change in _changes(entry, (), origin):
        home = top
        for key in place:
            home = home.inside.setdefault(key, StoredVariables(f"{owner}: {key}"))
        home.modern = change
    return top


def _in_order(slots: list[Slot], stored: list[_Stored]) -> list[Slot]:
    """The slots as the list has them: trainable first, unless only the order of the layers fits the names."""
    usual = sorted(slots, key=lambda slot: not slot.trainable)
    return slots if not _fits(usual, stored) and _fits(slots, stored) else usual


def _fits(slots: list[Slot], stored: list[_Stored]) -> bool:
    """Whether every array is called what its slot is, but for numbers behind."""
    endings = [re.sub(r"(_\d+)?(:0)?$", "", item.name.rpartition("/")[2]) for item in stored]
    return all(slot.name == ending for slot, ending in zip(slots, endings, strict=True))


def _slots(entry: Mapping[str, Any], place: Place, trainable: bool, origin: Origin) -> Iterator[Slot]:
    """The weights of a layer in the order of its layers.

    Raises:
        UnplacedError: a layer inside is not known, so that nobody can tell what it takes.
    """
    class_name, config = str(entry.get("class_name")), entry.get("config")
    settings = config if isinstance(config, Mapping) else {}
    trainable = trainable and settings.get("trainable") is not False
    inner = list(_inner(class_name, entry, settings, place))
    if inner:
        for at, layer in inner:
            yield from _slots(layer, at, trainable, origin)
        return
    place = (*place, "cell") if class_name in CELLS_OF else place
    learnt, kept = _own(class_name, settings, origin)
    yield from (Slot(place, name, trainable) for name in learnt)
    yield from (Slot(place, name, False) for name in kept)


CELLS_OF = (
    "CuDNNGRU",
    "CuDNNLSTM",
    "GRU",
    "GRUV2",
    "LSTM",
    "LSTMV2",
    "SimpleRNN",
    "UnifiedGRU",
    "UnifiedLSTM",
)
"""Layers that hold their weights in a cell."""


def _inner(
    class_name: str, entry: Mapping[str, Any], settings: Mapping[str, Any], place: Place
) -> Iterator[tuple[Place, Mapping[str, Any]]]:
    """The layers inside a layer, in the order of their weights, and where they are."""
    if class_name in MODELS:
        for layer in _entries(entry):
            yield (*place, _name(layer)), layer
        return
    found: list[tuple[str, object]] = []
    if class_name == "Bidirectional":
        if not {"forward_layer", "backward_layer"}.isdisjoint(place):
            # Each would double the layers of the one it is in.
            raise UnplacedError(_name(entry), "layer", class_name, "recurrent layers inside a Bidirectional")
        forward = settings.get("layer")
        found = [("forward_layer", forward), ("backward_layer", settings.get("backward_layer") or forward)]
    elif class_name == "TimeDistributed":
        found = [("layer", settings.get("layer"))]
    elif class_name == "RNN":
        found = [("cell", settings.get("cell"))]
    elif class_name == "StackedRNNCells":
        cells = settings.get("cells")
        found = [
            (f"cells.{index}", cell) for index, cell in enumerate(cells if isinstance(cells, list) else ())
        ]
    for key, layer in found:
        if not isinstance(layer, Mapping):
            raise FileError(f"{_name(entry)}: {key} should be a serialised layer")
        yield (*place, key), layer


def _own(class_name: str, settings: Mapping[str, Any], origin: Origin) -> tuple[list[str], list[str]]:
    """The trainable and the other weights of a layer that holds no others."""
    modern = CLASSES.get(class_name, class_name)
    bias = ["bias"] if settings.get("use_bias", settings.get("bias", True)) else []
    if origin.generation == 1 and modern in ("LSTM", "GRU") and settings.get("consume_less") != "gpu":
        gates = LSTM_1 if modern == "LSTM" else GRU_1
        return [f"{weight}_{gate}" for gate in gates for weight in "WUb"], []
    match modern:
        case "Embedding":
            return ["embeddings"], []
        case "Dense" | "Conv1D":
            return ["kernel", *bias], []
        case "LSTM" | "GRU" | "SimpleRNN" | "LSTMCell" | "GRUCell" | "SimpleRNNCell":
            return ["kernel", "recurrent_kernel", *bias], []
        case "BatchNormalization":
            return _affine(settings), ["moving_mean", "moving_variance"]
        case "LayerNormalization":
            return _affine(settings), []
        case "PReLU":
            return ["alpha"], []
    is_operation = origin.generation == 3 and "trainable" not in settings
    if modern not in READERS and modern not in WITHOUT_WEIGHTS and not is_operation:
        raise UnplacedError(f"layer {settings.get('name')!r}", "class", class_name)
    return [], []


WITHOUT_WEIGHTS = ("InputLayer", "Lambda", "Merge", "TFOpLambda", "TensorFlowOpLayer")


def _affine(settings: Mapping[str, Any]) -> list[str]:
    names = (("gamma", settings.get("scale", True)), ("beta", settings.get("center", True)))
    return [name for name, there in names if there]


def _changes(
    entry: Mapping[str, Any], place: Place, origin: Origin
) -> Iterator[tuple[Place, Callable[[Arrays], Arrays]]]:
    """Where weights are kept in another form than Keras 3 keeps them, and how they come into that."""
    class_name, config = str(entry.get("class_name")), entry.get("config")
    settings = config if isinstance(config, Mapping) else {}
    for at, layer in _inner(class_name, entry, settings, place):
        yield from _changes(layer, at, origin)
    cell = (*place, "cell")
    modern = CLASSES.get(class_name, class_name)
    if class_name == "CuDNNLSTM":
        yield cell, lambda arrays: _from_cudnn(arrays, 4)
    elif class_name == "CuDNNGRU":
        yield cell, lambda arrays: _from_cudnn(arrays, 3)
    elif modern == "Conv1D":
        yield place, lambda arrays: _convolution(arrays, settings, origin)
    elif origin.generation == 1 and modern in ("LSTM", "GRU") and settings.get("consume_less") != "gpu":
        order = "ifco" if modern == "LSTM" else "zrh"
        yield cell, lambda arrays: _stacked(arrays, order)


def _stacked(arrays: Arrays, order: str) -> Arrays:
    """The gates of Keras 1, an array each, side by side."""
    return {
        MODERN_1[weight]: np.concatenate([arrays[f"{weight}_{g}"] for g in order], -1) for weight in "WUb"
    }


def unlike_cudnn(arrays: Arrays) -> Arrays:
    """Weights of a cell, also where they are kept as CuDNN keeps them, which the length of the bias tells."""
    bias, recurrent = arrays.get("bias"), arrays.get("recurrent_kernel")
    if bias is None or recurrent is None or bias.ndim != 1 or recurrent.ndim != 2:
        return arrays
    rows, columns = recurrent.shape
    gates = columns // rows if rows else 0
    return _from_cudnn(arrays, gates) if gates in (3, 4) and bias.shape == (2 * columns,) else arrays


def _from_cudnn(arrays: Arrays, gates: int) -> Arrays:
    """Weights as CuDNN keeps them: each gate transposed in memory, and a bias for each kernel.

    Source:
        keras/engine/saving.py of 2.2.4, ``_convert_rnn_weights``.
    """
    kernel, recurrent, bias = (arrays[name] for name in ("kernel", "recurrent_kernel", "bias"))
    if kernel.ndim != 2 or recurrent.ndim != 2 or bias.shape != (2 * gates * recurrent.shape[0],):
        raise WeightError(f"CuDNN weights of shapes {kernel.shape}, {recurrent.shape} and {bias.shape}")
    parts = [part.T.reshape(part.shape, order="F") for part in np.split(kernel, gates, axis=1)]
    rows = [part.T for part in np.split(recurrent, gates, axis=1)]
    return {
        "kernel": np.concatenate(parts, axis=1),
        "recurrent_kernel": np.concatenate(rows, axis=1),
        # An LSTM of Keras has one bias; a GRU that resets after has both.
        "bias": bias.reshape(2, -1).sum(axis=0, dtype=bias.dtype) if gates == 4 else bias.reshape(2, -1),
    }


def _convolution(arrays: Arrays, settings: Mapping[str, Any], origin: Origin) -> Arrays:
    """A kernel ``(K, I, O)`` that is slid as it is.

    Keras 1 kept ``(K, 1, I, O)`` or, before 1.2, ``(O, I, K, 1)``; Theano slid kernels turned round
    (keras/engine/saving.py of 2.2.4, ``preprocess_weights_for_loading`` and ``_need_convert_kernel``).
    """
    kernel = arrays["kernel"]
    if origin.generation == 1 and kernel.ndim == 4:
        size = settings.get("filter_length")
        if kernel.shape[:2] != (size, 1) or kernel.shape[3] != settings.get("nb_filter"):
            kernel = np.transpose(kernel, (2, 3, 1, 0))
        kernel = kernel[:, 0]
    if origin.backend == "theano":
        kernel = kernel[::-1]
    return arrays | {"kernel": np.ascontiguousarray(kernel)}
