"""A live model run on symbolic tensors of Keras, with its custom layers opened.

An opened layer runs its ``call`` on the symbolic tensors, so that the layers and ``keras.ops`` in it are
recorded one by one, where Keras would record the layer as one. Its variables are symbolic while it does. A
layer whose code takes no symbolic tensors, since it calls TensorFlow or needs sizes as tensors, stays closed
and is recorded from its graph (`keras_side.recording.tensorflow_graph`). What all that changes in the model
is put back.
"""

from __future__ import annotations

import contextlib
import functools
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from biport.errors import BiportError, UnsupportedError
from biport.registry import snake_case
from keras_side.recording.concrete import Concrete, concrete
from keras_side.recording.custom import is_container, is_custom, paths, recurrent_classes
from keras_side.recording.entries import add_entry, add_inherited
from keras_side.recording.fault import refusal
from keras_side.recording.operation_faults import refuse_control_flow
from keras_side.recording.put_back import put_back
from keras_side.recording.recorder import History, Recorder, SymbolicInput, array_data, history
from keras_side.recording.stand_in import is_variable, stand_in, symbolic_variables
from keras_side.recording.tensorflow_graph import record_tensorflow


@dataclass(frozen=True)
class _Opened:
    """What a tensor stands for that an opened layer gave.

    Args:
        path: of the layer.
        inner: the tensor that its code gave.
    """

    path: str
    inner: Any


@dataclass(frozen=True)
class _Closed:
    """A call of a layer that stays closed.

    Args:
        path: of the layer.
        ran: its code, on symbolic tensors of TensorFlow.
    """

    path: str
    ran: Concrete


@dataclass(frozen=True)
class _Inherited:
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


class _NotSymbolicError(Exception):
    """A layer's code does not take symbolic tensors."""


@dataclass
class Recording:
    """The run of a model.

    Args:
        model: live; a model or a layer.
        recorder: what gets the entries.
        prefix: of the paths of what is inside.
        closed: whether all custom layers are recorded from their graphs.
    """

    model: Any
    recorder: Recorder
    prefix: str = ""
    closed: bool = False
    _paths: dict[int, str] = field(default_factory=dict)
    _histories: dict[int, History] = field(default_factory=dict)
    """By the identity of a tensor."""
    _opened: dict[int, _Opened] = field(default_factory=dict)
    _closed: dict[int, _Closed] = field(default_factory=dict)
    _inherited: dict[int, _Inherited] = field(default_factory=dict)
    _reasons: dict[int, UnsupportedError] = field(default_factory=dict)
    """By the identity of a layer that stays closed: why its code does not take symbolic tensors."""
    _of_nodes: dict[int, str] = field(default_factory=dict)
    """By the identity of a node: the path of the layer whose code made it."""
    _kept: list[Any] = field(default_factory=list)
    """What is known by its identity."""
    _inside_closed: bool = False

    def given(self, tensor: Any, known: History) -> None:
        """Say what a symbolic tensor is."""
        self._kept.append(tensor)
        self._histories[id(tensor)] = known

    def run(self, *inputs: Any, **options: Any) -> list[History]:
        """What the model gives for symbolic inputs that are `given`, in one list.

        Raises:
            UnsupportedError: it does something that cannot be recorded; the message names the line.
        """
        keras = sys.modules["keras"]
        self._paths = paths(self.model, self.prefix)
        with put_back(self.model), _whole_errors():
            with self._opening(), self._every_call_symbolic(), self._keras_own_whole():
                given = keras.tree.flatten(self._outputs(inputs, options))
            outputs = [one for one in given if one is not None]
            self._record(outputs)
            return [self._history(one, self._path("output")) for one in outputs]

    def _outputs(self, inputs: Sequence[Any], options: Mapping[str, Any]) -> Any:
        while True:
            closed = len(self._reasons)
            try:
                return self.model(*inputs, **options)
            except _NotSymbolicError:
                assert len(self._reasons) > closed
                self._opened.clear()
                self._closed.clear()
                self._inherited.clear()
                self._of_nodes.clear()

    def _path(self, name: str) -> str:
        return f"{self.prefix}.{name}" if self.prefix else name

    def _owner(self, path: str) -> str:
        """How errors call a layer."""
        return f"{self.recorder.owner}: layer {path!r}" if path else self.recorder.owner

    def _path_of(self, layer: Any) -> str:
        return self._paths.get(id(layer), self._path(layer.name))

    @contextlib.contextmanager
    def _opening(self) -> Iterator[None]:
        inside = [self.model, *self.model._flatten_layers(include_self=False)]
        opened = [layer for layer in inside if self._opens(layer)]
        for layer in opened:
            vars(layer)["symbolic_call"] = functools.partial(self._called, layer)
        try:
            yield
        finally:
            for layer in opened:
                vars(layer).pop("symbolic_call", None)

    def _opens(self, layer: Any) -> bool:
        if layer is self.model or is_custom(layer):
            return True
        return is_container(layer) and any(map(is_custom, layer._flatten_layers(include_self=False)))

    @contextlib.contextmanager
    def _every_call_symbolic(self) -> Iterator[None]:
        """Have layers that are called on numbers alone recorded too: they have weights."""
        keras = sys.modules["keras"]
        kind, own = keras.layers.Layer, keras.layers.Layer.__call__

        @functools.wraps(own)
        def call(layer: Any, *arguments: Any, **options: Any) -> Any:
            if not self._inside_closed and not _symbolic_tensors((arguments, options)):
                arguments, options = keras.tree.map_structure(
                    lambda one: self._as_symbolic(one, layer), (arguments, options)
                )
            return own(layer, *arguments, **options)

        kind.__call__ = call
        try:
            yield
        finally:
            kind.__call__ = own

    @contextlib.contextmanager
    def _keras_own_whole(self) -> Iterator[None]:
        """Have a layer that hands on to the ``call`` of a recurrent class of Keras' own recorded as that."""
        kinds = recurrent_classes()
        own = {kind: kind.call for kind in kinds if "call" in vars(kind)}
        for kind, call in own.items():
            kind.call = self._inheriting(kind, call)
        try:
            yield
        finally:
            for kind, call in own.items():
                kind.call = call

    def _inheriting(self, kind: type, call: Any) -> Any:
        """The ``call`` of a class, which a class made of it hands on to."""

        @functools.wraps(call)
        def inherited(layer: Any, *arguments: Any, **options: Any) -> Any:
            return self._inherit(layer, kind, call, *arguments, **options)

        return inherited

    def _inherit(self, layer: Any, kind: type, call: Any, *arguments: Any, **options: Any) -> Any:
        keras = sys.modules["keras"]
        if self._inside_closed or not _symbolic_tensors((arguments, options)):
            return call(layer, *arguments, **options)
        self._inside_closed = True
        try:
            bound = functools.partial(call, layer)
            positional, named = keras.tree.map_structure(_dense, (arguments, options))
            outputs = keras.src.backend.compute_output_spec(bound, *positional, **named)
        finally:
            self._inside_closed = False
        flat = keras.tree.flatten(outputs)
        inherited = _Inherited(self._path_of(layer), layer, kind, arguments, options, flat)
        self._kept += flat
        self._inherited |= {id(tensor): inherited for tensor in flat}
        return outputs

    def _as_symbolic(self, item: Any, layer: Any) -> Any:
        """A tensor of numbers as a symbolic one; anything else as it is."""
        keras = sys.modules["keras"]
        if not _is_array(item):
            return item
        array = np.asarray(keras.ops.convert_to_numpy(item))
        tensor = keras.KerasTensor(array.shape, keras.backend.standardize_dtype(array.dtype))
        self.given(tensor, self.recorder.constant(f"{self._path_of(layer)}.constant", array))
        return tensor

    def _called(self, layer: Any, *arguments: Any, **options: Any) -> Any:
        """The call of an opened layer: what its code gives, each tensor a new one that stands for that."""
        keras = sys.modules["keras"]
        path = self._path_of(layer)
        if id(layer) in self._reasons or (self.closed and not is_container(layer)):
            return self._stay_closed(layer, path, arguments, options)
        try:
            with symbolic_variables(layer, functools.partial(self._variable, layer, path)):
                given = layer.call(*arguments, **options)
            self._own(keras.tree.flatten(given), path, (arguments, options))
            return keras.tree.map_structure(lambda one: self._stand_for(one, path), given)
        except (BiportError, _NotSymbolicError):
            raise
        except Exception as error:  # A user's code may fail in any way.
            self._reasons[id(layer)] = refusal(self._owner(path), layer, error)
            raise _NotSymbolicError from error

    def _variable(self, layer: Any, path: str, name: str, variable: Any) -> Any:
        if id(variable) not in self._histories:
            named = f"{path}.{name}" if path else name
            tensor = stand_in(
                variable, named, f"{self.recorder.owner}: layer {path!r} ({type(layer).__name__})"
            )
            self.given(tensor, self.recorder.parameter(named, variable))
            self._histories[id(variable)] = self._histories[id(tensor)]
            self._kept += [variable]
            self._standing[id(variable)] = tensor
        return self._standing[id(variable)]

    _standing: dict[int, Any] = field(default_factory=dict)
    """By the identity of a variable: the symbolic tensor that stands for it."""

    def _stay_closed(self, layer: Any, path: str, arguments: Any, options: Any) -> Any:
        self._inside_closed = True
        try:
            ran = concrete(self._owner(path), layer, arguments, options)
        finally:
            self._inside_closed = False
        self._kept.append(ran)
        self._closed |= {id(tensor): _Closed(path, ran) for tensor, _ in ran.outputs}
        return ran.given

    def _stand_for(self, given: Any, path: str) -> Any:
        keras = sys.modules["keras"]
        if given is None:
            return None
        tensor = keras.KerasTensor(given.shape, keras.backend.standardize_dtype(given.dtype))
        if (mask := getattr(given, "_keras_mask", None)) is not None:
            keras.src.backend.set_keras_mask(tensor, mask)
        self._kept.append(tensor)
        self._opened[id(tensor)] = _Opened(path, given)
        return tensor

    def _own(self, tensors: Sequence[Any], path: str, given: Any) -> None:
        """Note that the code of a layer made the nodes between what it was given and what it gave."""
        waiting = list(tensors)
        before = {id(self._node(one)) for one in _symbolic_tensors(given)}
        while waiting:
            node = self._node(waiting.pop())
            if node is not None and id(node) not in self._of_nodes and id(node) not in before:
                self._of_nodes[id(node)] = path
                self._kept.append(node)
                waiting += node.arguments.keras_tensors

    def _node(self, tensor: Any) -> Any:
        """The node that gave a tensor; ``None`` for one that is known or that nothing gave."""
        if any(id(tensor) in known for known in (self._histories, *self._own_tensors())):
            return None
        past = getattr(tensor, "_keras_history", None)
        if past is None or past.operation is None:
            return None
        return past.operation._inbound_nodes[past.node_index]

    def _own_tensors(self) -> tuple[Mapping[int, Any], ...]:
        """The tensors that are something else than what a node of Keras' gave."""
        return self._opened, self._closed, self._inherited

    def _behind(self, tensor: Any) -> list[Any]:
        """The symbolic tensors that have to be known before one is."""
        if id(tensor) in self._opened:
            return _symbolic_tensors([self._opened[id(tensor)].inner, _mask_of(tensor)])
        if id(tensor) in self._closed:
            return [one for one, _ in self._closed[id(tensor)].ran.inputs]
        if id(tensor) in self._inherited:
            call = self._inherited[id(tensor)]
            return _symbolic_tensors((call.arguments, call.options))
        node = self._node(tensor)
        if node is None:
            supported = "tensors made of the inputs of the model"
            raise UnsupportedError(self.recorder.owner, "tensor", str(tensor)[:80], supported)
        # What a condition gives may be its branch's own: it would be waited for for ever.
        owner = self._owner(self._of_nodes.get(id(node), self.prefix))
        refuse_control_flow(owner, node.operation, _label(node.operation))
        return list(node.arguments.keras_tensors)

    def _record(self, tensors: Sequence[Any]) -> None:
        """Make entries of all that the tensors are made of."""
        stack = _symbolic_tensors(tensors)[::-1]
        waiting: set[int] = set()
        while stack:
            if id(stack[-1]) in self._histories:
                stack.pop()
                continue
            missing = [one for one in self._behind(stack[-1]) if id(one) not in self._histories]
            if missing:
                waiting.add(id(stack[-1]))
                for one in missing:
                    if id(one) in waiting:
                        raise self._of_itself(one)
                stack += missing[::-1]
            else:
                self._make(stack.pop())

    def _of_itself(self, tensor: Any) -> UnsupportedError:
        """Why what an operation gave that takes functions cannot be recorded: ``keras.ops.cond``."""
        node = self._node(tensor)
        kind = "" if node is None else type(node.operation).__name__
        path = "" if node is None else self._of_nodes.get(id(node), "")
        supported = "operations on tensors, such as where: no functions that are chosen by the values of some"
        return UnsupportedError(self._owner(path), "operation", kind, supported)

    def _make(self, tensor: Any) -> None:
        """Make the entry of a tensor whose inputs are known."""
        if id(tensor) in self._opened:
            opened = self._opened[id(tensor)]
            name = f"{opened.path}.output".lstrip(".")
            known = self._history(opened.inner, opened.path), _mask_of(tensor)
            mask = None if known[1] is None else self._history(known[1], f"{opened.path}.mask")
            self.given(tensor, self.recorder.with_mask(name, known[0], mask))
        elif id(tensor) in self._closed:
            self._make_closed(self._closed[id(tensor)])
        elif id(tensor) in self._inherited:
            self._make_inherited(self._inherited[id(tensor)])
        else:
            self._make_node(self._node(tensor))

    def _make_closed(self, call: _Closed) -> None:
        keras = sys.modules["keras"]
        known = {id(one): self._histories[id(one)] for one, _ in call.ran.inputs}
        try:
            self._histories |= record_tensorflow(self.recorder, call.path, call.ran, known, self._paths)
        except UnsupportedError as problem:
            problem.of_layer(call.ran.layer.name, type(call.ran.layer).__name__)
            raise
        for tensor in _symbolic_tensors(keras.tree.flatten(call.ran.given)):
            mask = _mask_of(tensor)
            hung = None if mask is None else self._mask_history(mask, call.path)
            name = f"{call.path}.output".lstrip(".")
            self.given(tensor, self.recorder.with_mask(name, self._histories[id(tensor)], hung))

    def _make_inherited(self, inherited: _Inherited) -> None:
        name = f"{inherited.path}.{snake_case(inherited.kind.__name__)}".lstrip(".")
        arguments = [self._data(one, name) for one in inherited.arguments]
        options = {key: self._data(one, name) for key, one in inherited.options.items()}
        own, call = add_inherited(self.recorder, name, inherited.layer, inherited.kind, arguments, options)
        for number, output in enumerate(inherited.outputs):
            self._histories[id(output)] = history(own, call, number)

    def _mask_history(self, mask: Any, path: str) -> History:
        self._record([mask])
        return self._history(mask, f"{path}.mask")

    def _make_node(self, node: Any) -> None:
        operation, path = node.operation, self._of_nodes.get(id(node), self.prefix)
        self._kept += node.outputs
        if _changes_nothing(node):
            self._histories[id(node.outputs[0])] = self._histories[id(node.arguments.args[0])]
            return
        name = self._paths.get(id(operation)) or f"{path}.{_label(operation)}".lstrip(".")
        arguments = [self._data(one, name) for one in node.arguments.args]
        options = {key: self._data(one, name) for key, one in node.arguments.kwargs.items()}
        own, call = add_entry(self.recorder, name, operation, arguments, options)
        for number, output in enumerate(node.outputs):
            self._histories[id(output)] = history(own, call, number)

    def _history(self, item: Any, name: str) -> Any:
        """A tensor as a configuration has it; numbers become a constant, a variable a parameter."""
        keras = sys.modules["keras"]
        if item is None or id(item) in self._histories:
            return None if item is None else self._histories[id(item)]
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
        if _is_symbolic(item):
            return _of_shape(self._history(item, name), item)
        if is_variable(item):
            return self._history(item, name)
        if _is_array(item):
            return array_data(np.asarray(keras.ops.convert_to_numpy(item)))
        return item.item() if isinstance(item, np.generic) else keras.saving.serialize_keras_object(item)


def record_layer(
    layer: Any, recorder: Recorder, inputs: Sequence[Any], closed: bool = False
) -> list[History]:
    """Run a layer, or a model, on symbolic inputs.

    Args:
        layer: live.
        recorder: what gets the entries.
        inputs: `keras_side.recording.recorder.SymbolicInput` in the structure of its arguments.
        closed: whether all custom layers are recorded from their graphs of TensorFlow.

    Returns:
        What it gives, in one list.

    Raises:
        UnsupportedError: it does something that cannot be recorded; the message names the line.
    """
    recording = Recording(layer, recorder, closed=closed)

    def tensor(given: SymbolicInput) -> Any:
        recording.given(given.tensor, given.known)
        return given.tensor

    return recording.run(*sys.modules["keras"].tree.map_structure(tensor, list(inputs)), training=False)


def _changes_nothing(node: Any) -> bool:
    """Whether an operation makes a tensor of what is one; Keras does so with all inputs of a model."""
    given = node.arguments.args[:1]
    return (
        type(node.operation).__name__ == "ConvertToTensor"
        and _is_symbolic(given[0])
        and given[0].dtype == node.outputs[0].dtype
    )


def _of_shape(known: History, tensor: Any) -> History:
    """A tensor as a configuration has it, with its shape and dtype."""
    own = {"shape": list(tensor.shape), "dtype": tensor.dtype}
    return {**known, "config": {**own, **known["config"]}}


def _is_symbolic(item: Any) -> bool:
    return isinstance(item, sys.modules["keras"].KerasTensor)


def _dense(item: Any) -> Any:
    """A symbolic tensor of the same shape; Keras 3.15 calls what is multiplied by a number sparse."""
    return sys.modules["keras"].KerasTensor(item.shape, item.dtype) if _is_symbolic(item) else item


def _is_array(item: Any) -> bool:
    """Whether something holds numbers; a tensor of a graph of TensorFlow has none yet."""
    is_tensor = bool(sys.modules["keras"].ops.is_tensor(item)) and not hasattr(item, "graph")
    return isinstance(item, np.ndarray) or is_tensor


def _symbolic_tensors(items: Any) -> list[Any]:
    return [one for one in sys.modules["keras"].tree.flatten(items) if _is_symbolic(one)]


def _mask_of(tensor: Any) -> Any:
    return getattr(tensor, "_keras_mask", None)


def _label(operation: Any) -> str:
    """What an operation, or a layer that is no attribute of anything, is called in a path."""
    is_layer = isinstance(operation, sys.modules["keras"].layers.Layer)
    return operation.name if is_layer else snake_case(type(operation).__name__)


@contextlib.contextmanager
def _whole_errors() -> Iterator[None]:
    """Have Keras leave tracebacks as they are, which have the lines of the user's code in them."""
    keras = sys.modules["keras"]
    before = keras.config.is_traceback_filtering_enabled()
    keras.config.disable_traceback_filtering()
    try:
        yield
    finally:
        if before:
            keras.config.enable_traceback_filtering()
