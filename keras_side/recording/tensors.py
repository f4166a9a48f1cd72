"""What symbolic tensors of Keras are: entries of a configuration, made once all that they are made of are."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from biport.errors import UnsupportedError
from biport.registry import snake_case
from keras_side.recording.concrete import Concrete
from keras_side.recording.entries import add_entry, add_inherited
from keras_side.recording.operation_faults import refuse_control_flow
from keras_side.recording.recorder import History, Recorder, array_data, history
from keras_side.recording.stand_in import is_variable
from keras_side.recording.tensorflow_graph import record_tensorflow


@dataclass(frozen=True)
class Opened:
    """What a tensor stands for that an opened layer gave.

    Args:
        path: of the layer.
        inner: the tensor that its code gave.
    """

    path: str
    inner: Any


@dataclass(frozen=True)
class Closed:
    """A call of a layer that stays closed.

    Args:
        path: of the layer.
        ran: its code, on symbolic tensors of TensorFlow.
    """

    path: str
    ran: Concrete


@dataclass(frozen=True)
class Inherited:
    """What a layer does in the words of the class of Keras' own that it is made of: ``super().call(x)``.

    Args:
        path: of the layer.
        layer: it.
        kind: the class.
        arguments: of the call.
        options: of the call, by name.
        outputs: what it gave, in one list.
    """

    path: str
    layer: Any
    kind: type
    arguments: tuple[Any, ...]
    options: Mapping[str, Any]
    outputs: Sequence[Any]


@dataclass
class Tensors:
    """The tensors of a run, by their identities.

    Args:
        recorder: what gets the entries.
        prefix: of the paths of what nobody's code gave.
        paths: of the layers, by their identities.
        histories: what tensors are, as far as that is known.
        opened: those that opened layers gave.
        closed: those that layers gave whose code was run on tensors of TensorFlow.
        inherited: those that layers gave in the words of a class of Keras' own.
        of_nodes: by the identity of a node, the path of the layer whose code made it.
        kept: what is known by its identity.
    """

    recorder: Recorder
    prefix: str = ""
    paths: Mapping[int, str] = field(default_factory=dict)
    histories: dict[int, History] = field(default_factory=dict)
    opened: dict[int, Opened] = field(default_factory=dict)
    closed: dict[int, Closed] = field(default_factory=dict)
    inherited: dict[int, Inherited] = field(default_factory=dict)
    of_nodes: dict[int, str] = field(default_factory=dict)
    kept: list[Any] = field(default_factory=list)

    def give(self, tensor: Any, known: History) -> None:
        """Say what a symbolic tensor is."""
        self.kept.append(tensor)
        self.histories[id(tensor)] = known

    def forget_run(self) -> None:
        """Forget what the code of layers gave, which is about to be run again."""
        for known in (self.opened, self.closed, self.inherited, self.of_nodes):
            known.clear()

    def note(self, tensors: Sequence[Any], path: str, given: Any) -> None:
        """Note that the code of a layer made the nodes between what it was given and what it gave."""
        waiting = list(tensors)
        before = {id(self._node(one)) for one in symbolic_tensors(given)}
        while waiting:
            node = self._node(waiting.pop())
            if node is not None and id(node) not in self.of_nodes and id(node) not in before:
                self.of_nodes[id(node)] = path
                self.kept.append(node)
                waiting += node.arguments.keras_tensors

    def _node(self, tensor: Any) -> Any:
        """The node that gave a tensor; ``None`` for one that is known or that nothing gave."""
        if any(id(tensor) in known for known in (self.histories, *self._others())):
            return None
        past = getattr(tensor, "_keras_history", None)
        if past is None or past.operation is None:
            return None
        return past.operation._inbound_nodes[past.node_index]

    def _others(self) -> tuple[Mapping[int, Any], ...]:
        """The tensors that are something else than what a node of Keras' gave."""
        return self.opened, self.closed, self.inherited

    def _behind(self, tensor: Any) -> list[Any]:
        """The symbolic tensors that have to be known before one is."""
        if id(tensor) in self.opened:
            return symbolic_tensors([self.opened[id(tensor)].inner, mask_of(tensor)])
        if id(tensor) in self.closed:
            return [one for one, _ in self.closed[id(tensor)].ran.inputs]
        if id(tensor) in self.inherited:
            call = self.inherited[id(tensor)]
            return symbolic_tensors((call.arguments, call.options))
        node = self._node(tensor)
        if node is None:
            supported = "tensors made of the inputs of the model"
            raise UnsupportedError(self.recorder.owner, "tensor", str(tensor)[:80], supported)
        # What a condition gives may be its branch's own: it would be waited for for ever.
        owner = owner_of(self.recorder, self.of_nodes.get(id(node), self.prefix))
        refuse_control_flow(owner, node.operation, _label(node.operation))
        return list(node.arguments.keras_tensors)

    def record(self, tensors: Sequence[Any]) -> None:
        """Make entries of all that the tensors are made of."""
        stack = symbolic_tensors(tensors)[::-1]
        waiting: set[int] = set()
        while stack:
            if id(stack[-1]) in self.histories:
                stack.pop()
                continue
            missing = [one for one in self._behind(stack[-1]) if id(one) not in self.histories]
            if missing:
                waiting.add(id(stack[-1]))
                for one in missing:
                    if id(one) in waiting:
                        raise self._of_itself(one)
                stack += missing[::-1]
            else:
                self._make(stack.pop())

    def _of_itself(self, tensor: Any) -> UnsupportedError:
        """Why what an operation gave that gives its own input cannot be recorded: it would never be known."""
        node = self._node(tensor)
        kind = "" if node is None else type(node.operation).__name__
        path = "" if node is None else self.of_nodes.get(id(node), "")
        supported = "operations on tensors, such as where: no functions that are chosen by the values of some"
        return UnsupportedError(owner_of(self.recorder, path), "operation", kind, supported)

    def _make(self, tensor: Any) -> None:
        """Make the entry of a tensor whose inputs are known."""
        if id(tensor) in self.opened:
            opened = self.opened[id(tensor)]
            name = f"{opened.path}.output".lstrip(".")
            known = self.history(opened.inner, opened.path), mask_of(tensor)
            mask = None if known[1] is None else self.history(known[1], f"{opened.path}.mask")
            self.give(tensor, self.recorder.with_mask(name, known[0], mask))
        elif id(tensor) in self.closed:
            self._make_closed(self.closed[id(tensor)])
        elif id(tensor) in self.inherited:
            self._make_inherited(self.inherited[id(tensor)])
        else:
            self._make_node(self._node(tensor))

    def _make_closed(self, call: Closed) -> None:
        keras = sys.modules["keras"]
        known = {id(one): self.histories[id(one)] for one, _ in call.ran.inputs}
        try:
            self.histories |= record_tensorflow(self.recorder, call.path, call.ran, known, self.paths)
        except UnsupportedError as problem:
            problem.of_layer(call.ran.layer.name, type(call.ran.layer).__name__)
            raise
        for tensor in symbolic_tensors(keras.tree.flatten(call.ran.given)):
            mask = mask_of(tensor)
            hung = None if mask is None else self._mask_history(mask, call.path)
            name = f"{call.path}.output".lstrip(".")
            self.give(tensor, self.recorder.with_mask(name, self.histories[id(tensor)], hung))

    def _make_inherited(self, inherited: Inherited) -> None:
        name = f"{inherited.path}.{snake_case(inherited.kind.__name__)}".lstrip(".")
        arguments = [self._data(one, name) for one in inherited.arguments]
        options = {key: self._data(one, name) for key, one in inherited.options.items()}
        own, call = add_inherited(self.recorder, name, inherited.layer, inherited.kind, arguments, options)
        for number, output in enumerate(inherited.outputs):
            self.histories[id(output)] = history(own, call, number)

    def _mask_history(self, mask: Any, path: str) -> History:
        self.record([mask])
        return self.history(mask, f"{path}.mask")

    def _make_node(self, node: Any) -> None:
        operation, path = node.operation, self.of_nodes.get(id(node), self.prefix)
        self.kept += node.outputs
        if _changes_nothing(node):
            self.histories[id(node.outputs[0])] = self.histories[id(node.arguments.args[0])]
            return
        name = self.paths.get(id(operation)) or f"{path}.{_label(operation)}".lstrip(".")
        arguments = [self._data(one, name) for one in node.arguments.args]
        options = {key: self._data(one, name) for key, one in node.arguments.kwargs.items()}
        own, call = add_entry(self.recorder, name, operation, arguments, options)
        for number, output in enumerate(node.outputs):
            self.histories[id(output)] = history(own, call, number)

    def history(self, item: Any, name: str) -> Any:
        """A tensor as a configuration has it; numbers become a constant, a variable a parameter."""
        keras = sys.modules["keras"]
        if item is None or id(item) in self.histories:
            return None if item is None else self.histories[id(item)]
        if is_variable(item):
            return self.recorder.parameter(f"{name}.{item.name}".lstrip("."), item)
        array = np.asarray(keras.ops.convert_to_numpy(item))
        return self.recorder.constant(f"{name}.constant".lstrip("."), array)

    def _data(self, item: Any, name: str) -> Any:
        """An argument of a call as plain data."""
        keras = sys.modules["keras"]
        if isinstance(item, Mapping):
            return {key: self._data(one, name) for key, one in item.items()}
        if isinstance(item, list | tuple):
            return [self._data(one, name) for one in item]
        if is_symbolic(item):
            return _of_shape(self.history(item, name), item)
        if is_variable(item):
            return self.history(item, name)
        if is_array(item):
            return array_data(np.asarray(keras.ops.convert_to_numpy(item)))
        return item.item() if isinstance(item, np.generic) else keras.saving.serialize_keras_object(item)


def owner_of(recorder: Recorder, path: str) -> str:
    """How errors call a layer."""
    return f"{recorder.owner}: layer {path!r}" if path else recorder.owner


def _changes_nothing(node: Any) -> bool:
    """Whether an operation makes a tensor of what is one; Keras does so with all inputs of a model."""
    given = node.arguments.args[:1]
    return (
        type(node.operation).__name__ == "ConvertToTensor"
        and is_symbolic(given[0])
        and given[0].dtype == node.outputs[0].dtype
    )


def _of_shape(known: History, tensor: Any) -> History:
    """A tensor as a configuration has it, with its shape and dtype."""
    own = {"shape": list(tensor.shape), "dtype": tensor.dtype}
    return {**known, "config": {**own, **known["config"]}}


def is_symbolic(item: Any) -> bool:
    """Whether something is a symbolic tensor of Keras."""
    return isinstance(item, sys.modules["keras"].KerasTensor)


def is_array(item: Any) -> bool:
    """Whether something holds numbers; a tensor of a graph of TensorFlow has none yet."""
    is_tensor = bool(sys.modules["keras"].ops.is_tensor(item)) and not hasattr(item, "graph")
    return isinstance(item, np.ndarray) or is_tensor


def symbolic_tensors(items: Any) -> list[Any]:
    """The symbolic tensors in a structure, in order."""
    return [one for one in sys.modules["keras"].tree.flatten(items) if is_symbolic(one)]


def mask_of(tensor: Any) -> Any:
    """The mask that hangs on a tensor; ``None`` where there is none."""
    return getattr(tensor, "_keras_mask", None)


def _label(operation: Any) -> str:
    """What an operation, or a layer that is no attribute of anything, is called in a path."""
    is_layer = isinstance(operation, sys.modules["keras"].layers.Layer)
    return operation.name if is_layer else snake_case(type(operation).__name__)
