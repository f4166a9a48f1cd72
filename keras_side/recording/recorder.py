"""Layers and operations that were called, as the configuration of a functional model."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np

from keras_side.reading.live_model import LiveVariables, check_live, plain_data
from keras_side.reading.mask_expressions import WITH_MASK
from keras_side.records import RecordedVariables, Variables
from keras_side.registered import PACKAGE

History = Mapping[str, Any]
"""A tensor as a configuration has it: the layer or operation that gave it."""


def history(name: str, call: int = 0, output: int = 0) -> History:
    """An output of a call.

    Example:
        >>> history("lstm")
        {'class_name': '__keras_tensor__', 'config': {'keras_history': ['lstm', 0, 0]}}
    """
    return {"class_name": "__keras_tensor__", "config": {"keras_history": [name, call, output]}}


def key_of(item: History) -> list[Any]:
    """The layer, call and output of a tensor."""
    return list(item["config"]["keras_history"])


@dataclass(frozen=True)
class SymbolicInput:
    """A symbolic tensor, and what it is in a configuration."""

    tensor: Any
    known: History


Record = Callable[[Any, "Recorder", Sequence[Any]], list[History]]
"""Runs a layer on `SymbolicInput`, in the structure of its arguments; gives all that the layer gives."""


@dataclass
class Recorder:
    """What has been called so far.

    Args:
        owner: how errors call the model.
        record: runs a layer by itself; see `keras_side.recording.recurrence`.
        instead: arrays to be read in place of variables, by the identity of these.
    """

    owner: str
    record: Record
    instead: Mapping[int, np.ndarray] = field(default_factory=dict)
    entries: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By name, in order."""
    inputs: list[History] = field(default_factory=list)
    _variables: dict[str, Variables] = field(default_factory=dict)
    """By the name of an entry: where its weights are."""
    _names: dict[int, str] = field(default_factory=dict)
    """By the identity of a layer or a variable: the name of its entry."""
    _kept: list[Any] = field(default_factory=list)
    """What is known by its identity."""

    def free(self, name: str) -> str:
        """A name that no entry has: this one, or with a number behind it."""
        number, free = 0, name
        while free in self.entries:
            number += 1
            free = f"{name}_{number}"
        return free

    def input(self, name: str, shape: Sequence[int | None], dtype: str) -> History:
        """An input of the model; sizes that vary are ``None``."""
        name = self.free(name)
        config = {"batch_shape": list(shape), "dtype": dtype, "name": name}
        self._add(name, "InputLayer", "keras.layers", config)
        self.inputs.append(history(name))
        return self.inputs[-1]

    def inside(self, owner: str) -> Recorder:
        """A recorder for what is inside of a layer."""
        return Recorder(owner, self.record, self.instead)

    def symbolic_input(self, name: str, shape: Sequence[int | None], dtype: str) -> SymbolicInput:
        """An input of the model, with a symbolic tensor for it."""
        tensor = sys.modules["keras"].KerasTensor(tuple(shape), dtype, name=name)
        return SymbolicInput(tensor, self.input(name, shape, dtype))

    def operation(
        self,
        name: str,
        class_name: str,
        arguments: Sequence[Any],
        options: Mapping[str, Any],
        config: Mapping[str, Any] | None = None,
        line: str = "",
    ) -> str:
        """A call of an operation, by the name of its class in `keras_side.operations`; the entry's name.

        Where the line of the user's code that called it is known, errors name it.
        """
        name = self.free(name)
        entry = self._add(name, class_name, "keras.src.ops", dict(config or {}))
        entry |= {"line": line} if line else {}
        entry["inbound_nodes"].append({"args": list(arguments), "kwargs": dict(options)})
        return name

    def layer(
        self, name: str, layer: Any, arguments: Sequence[Any], options: Mapping[str, Any]
    ) -> tuple[str, int]:
        """A call of a layer of Keras' own; the entry's name and which of its calls this is.

        Raises:
            UnsupportedError: the layer cannot be serialised, or computes something else than it says.
        """
        if id(layer) not in self._names:
            data = serialised_layer(f"{self.owner}: layer {name!r}", layer)
            self.described(name, layer, data, LiveVariables(layer, self.owner, self.instead))
        return self.call(self._names[id(layer)], arguments, options)

    def described(self, name: str, layer: Any, data: Mapping[str, Any], variables: Variables) -> str:
        """A layer by what it is read as, and where its weights are; the entry's name."""
        name = self.free(name)
        entry = self._add(name, data["class_name"], str(data.get("module") or "keras.layers"), data["config"])
        entry |= {key: data[key] for key in ("registered_name", "build_config") if key in data}
        self._keep(layer, name)
        self._variables[name] = variables
        return name

    def knows(self, layer: Any) -> bool:
        """Whether there is an entry for a layer or a variable."""
        return id(layer) in self._names

    def name_of(self, layer: Any) -> str:
        """The name of the entry of a layer or a variable."""
        return self._names[id(layer)]

    def call(self, name: str, arguments: Sequence[Any], options: Mapping[str, Any]) -> tuple[str, int]:
        """One more call of a layer."""
        calls = self.entries[name]["inbound_nodes"]
        calls.append({"args": list(arguments), "kwargs": dict(options)})
        return name, len(calls) - 1

    def parameter(self, name: str, variable: Any) -> History:
        """A variable that belongs to no layer of Keras' own, as a tensor; one entry for a variable."""
        if id(variable) not in self._names:
            name = self.free(name)
            shape, trainable = list(variable.shape), bool(getattr(variable, "trainable", True))
            data = {
                "class_name": "Parameter",
                "registered_name": f"{PACKAGE}>Parameter",
                "config": {"name": name, "shape": shape, "trainable": trainable, "dtype": _dtype(variable)},
            }
            count = int(np.prod(shape, dtype="int64"))
            source = SimpleNamespace(weights=[variable], value=variable, count_params=lambda: count)
            self.described(name, variable, data, LiveVariables(source, self.owner, self.instead))
            # A layer has to be called on something; this one does not read it.
            self.call(name, [self.inputs[0]], {})
        return history(self._names[id(variable)])

    def constant(self, name: str, array: np.ndarray) -> History:
        """An array as a tensor."""
        return history(self.operation(name, "ConvertToTensor", [array_data(array)], {}))

    def with_mask(self, name: str, x: History, mask: History | None) -> History:
        """The same tensor, with this mask and no other."""
        return history(self.operation(name, WITH_MASK, [x, mask], {}))

    def model(self, outputs: Sequence[History]) -> dict[str, Any]:
        """The configuration; see `keras_side.reading.traverse`."""
        keys = [key_of(output) for output in outputs]
        for key in keys:
            # There, and only there, Keras counts the call that built a model as its first.
            key[1] += self.entries[key[0]]["class_name"] in ("Functional", "Model")
        config = {
            "name": self.owner,
            "layers": list(self.entries.values()),
            "input_layers": [key_of(one) for one in self.inputs],
            "output_layers": keys,
        }
        return {"module": "keras", "class_name": "Functional", "config": config, "registered_name": None}

    @property
    def variables(self) -> RecordedVariables:
        """Where the weights of the entries are."""
        return RecordedVariables(self.owner, self._variables)

    def _add(self, name: str, class_name: str, module: str, config: Mapping[str, Any]) -> dict[str, Any]:
        entry = {
            "class_name": class_name,
            "module": module,
            "registered_name": None,
            "name": name,
            "config": {**config, "name": name},
            "inbound_nodes": [],
        }
        self.entries[name] = entry
        return entry

    def _keep(self, item: Any, name: str) -> None:
        self._kept.append(item)
        self._names[id(item)] = name


def serialised_layer(owner: str, layer: Any, kind: type | None = None) -> dict[str, Any]:
    """A layer of Keras' own as plain data.

    Args:
        owner: how errors call it.
        layer: live.
        kind: the class it is read as, where it is made of that one and computes the same.

    Raises:
        UnsupportedError: it cannot be serialised, or computes something else than it says.
    """
    data = plain_data(owner, layer, kind)
    for part in (layer, *layer._flatten_layers(include_self=False)):
        check_live(owner if part is layer else f"{owner}: {part.name}", part)
    return data


def array_data(array: np.ndarray) -> dict[str, Any]:
    """An array as Keras serialises one."""
    return {"class_name": "__numpy__", "config": {"value": array.tolist(), "dtype": array.dtype.name}}


def _dtype(variable: Any) -> str:
    dtype = variable.dtype
    return dtype if isinstance(dtype, str) else dtype.name
