"""The calls of a functional model, from the lists of Keras 1 and 2 to the mappings of Keras 3.

A call was a list of ``[layer, call, output, arguments]``, one for each tensor (keras/engine/network.py of
2.2.4, ``get_config``; keras/engine/node.py of 2.15, ``Node.serialize``); the arguments hold such lists too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from biport.errors import FileError, UnsupportedError
from keras_side.records import MODELS
from keras_side.shared.recurrent import CONV_LSTMS

CONSTANT = "_CONSTANT_VALUE"
"""keras/engine/node.py of 2.15: in place of a layer's name, where the tensor is a number."""
RECURRENT = ("Bidirectional", "CuDNNGRU", "CuDNNLSTM", "GRU", "LSTM", "RNN", "SimpleRNN", *CONV_LSTMS)
"""Layers that list their initial states, and after them their constants, behind their input."""


@dataclass(frozen=True)
class Calls:
    """What has to be known of a whole model to read its calls.

    Args:
        owner: the model, for errors.
        layers: class names by layer name.
        first: for each layer the number of its first call: 1 for most models used as layers, as they count
            the call that made them (keras/engine/network.py of 2.2.4, ``kept_nodes``).
    """

    owner: str
    layers: Mapping[str, str]
    first: Mapping[str, int]

    def tensor(self, item: Sequence) -> dict[str, Any]:
        """A serialised tensor as Keras 3 writes it."""
        name, call, output = item[:3]
        history = [name, call - self.first.get(name, 0), output]
        return {"class_name": "__keras_tensor__", "config": {"keras_history": history}}

    def is_tensor(self, item: object) -> bool:
        """Whether this is ``[layer, call, output]``, with or without arguments."""
        match item:
            case [str(name), int(), int()] | [str(name), int(), int(), None | dict()]:
                return name in self.layers
        return False

    def argument(self, item: Any) -> Any:
        """An argument of a call: a tensor, a list of them, or what it is."""
        if self.is_tensor(item):
            return self.tensor(item)
        if isinstance(item, list):
            return [self.argument(part) for part in item]
        return item

    def node(self, class_name: str, config: Mapping[str, Any], node: object) -> dict[str, Any]:
        """One call.

        Raises:
            FileError: it is not written the way Keras writes one.
        """
        items = [node] if _is_item(node) else node
        if not isinstance(items, list) or not items:
            raise FileError(f"{self.owner}: inbound_nodes are not written the way Keras 2 writes them")
        tensors = [self._input(item) for item in _flat(items, self.owner)]
        arguments = self._arguments(next(_flat(items, self.owner)))
        if class_name in RECURRENT and len(tensors) > 1:
            constants = config.get("num_constants") or 0
            states = tensors[1 : len(tensors) - constants]
            arguments |= {"initial_state": states} if states else {}
            arguments |= {"constants": tensors[len(tensors) - constants :]} if constants else {}
            tensors = tensors[:1]
        return {"args": [tensors[0] if len(tensors) == 1 else tensors], "kwargs": arguments}

    def _input(self, item: Sequence) -> Any:
        if item[0] == CONSTANT:
            return item[2]
        if not self.is_tensor(item):
            raise FileError(f"{self.owner}: a call of a layer that is not there: {str(item)[:80]}")
        return self.tensor(item)

    def _arguments(self, item: Sequence) -> dict[str, Any]:
        """The arguments beside the input; each tensor of the input repeats them."""
        arguments = item[3] if len(item) > 3 else None
        return {key: self.argument(value) for key, value in (arguments or {}).items() if value is not None}


def calls(owner: str, entries: Sequence[Mapping[str, Any]], outputs: object) -> Calls:
    """What `Calls` has to know, from the entries of a model and its ``output_layers``."""
    layers = {str(entry.get("name")): str(entry.get("class_name")) for entry in entries}
    models = {name for name, class_name in layers.items() if class_name in MODELS}
    used: dict[str, set[int]] = {name: set() for name in models}
    if models:
        stack: list[object] = [outputs, *(entry.get("inbound_nodes") for entry in entries)]
        while stack:
            item = stack.pop()
            match item:
                case [str(name), int(call), int(), *_] if name in models:
                    used[name].add(call)
            if isinstance(item, Mapping):
                stack.extend(item.values())
            elif isinstance(item, list):
                stack.extend(item)
    # A model that was given no input shape before it was called had no call that made it, and counts from 0.
    first = {name: 0 if 0 in numbers else 1 for name, numbers in used.items()}
    return Calls(owner, layers, first)


def history(owner: str, calls: Calls, data: object) -> Any:
    """``input_layers`` or ``output_layers`` as Keras 3 counts: there models inside count from 1 again."""
    match data:
        case [str(name), int(call), int(output)]:
            counts = calls.layers.get(name) in ("Functional", "Model")
            return [name, call - calls.first.get(name, 0) + counts, output]
        case list():
            return [history(owner, calls, part) for part in data]
        case dict():
            return {key: history(owner, calls, part) for key, part in data.items()}
    raise FileError(f"{owner}: cannot tell the model's inputs or outputs from {str(data)[:80]!r}")


def count_containers(data: Sequence) -> int:
    """How many lists and mappings there are inside a list."""
    count, waiting = 0, [data]
    while waiting:
        item = waiting.pop()
        inside = item.values() if isinstance(item, dict) else item
        inner = [part for part in inside if isinstance(part, list | dict)]
        count += len(inner)
        waiting += inner
    return count


def _is_item(node: object) -> bool:
    return isinstance(node, list) and bool(node) and isinstance(node[0], str)


def _flat(items: Sequence, owner: str) -> Iterator[Sequence]:
    """The tensors of a call, which lists may nest."""
    for item in items:
        if isinstance(item, Mapping):
            raise UnsupportedError(owner, "call with a mapping of inputs", list(item), "a list of inputs")
        if not isinstance(item, list) or not item:
            raise FileError(f"{owner}: inbound_nodes are not written the way Keras 2 writes them")
        if not _is_item(item):
            yield from _flat(item, owner)
        elif len(item) < 3 or (len(item) > 3 and not isinstance(item[3], dict | None)):
            raise FileError(f"{owner}: a call is not written the way Keras 2 writes it: {str(item)[:80]}")
        else:
            yield item
