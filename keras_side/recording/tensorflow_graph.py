"""A layer that takes no symbolic tensors of Keras, recorded from the TensorFlow graph of its ``call``.

Such a layer calls TensorFlow itself, or asks for sizes as tensors. Each operation that its outputs are made
of becomes an entry in the words of `keras_side.legacy.messages`, which has them from files of Keras 2; what
is computed of constants alone is a constant. Layers of Keras' own that it calls are entries as a whole.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from biport.registry import snake_case
from keras_side.legacy.messages import OPERATIONS, translated
from keras_side.recording.concrete import Concrete, LayerCall
from keras_side.recording.entries import add_entry
from keras_side.recording.fault import user_line
from keras_side.recording.operation_faults import changes_state, unsupported
from keras_side.recording.recorder import History, Recorder, array_data, history
from keras_side.recording.variable_names import named_variables

SAME = (
    *("CheckNumerics", "EnsureShape", "Identity", "IdentityN", "PlaceholderWithDefault", "PreventGradient"),
    *("Snapshot", "StopGradient"),
)
"""Operations that give their inputs."""
CALLS = ("PartitionedCall", "StatefulPartitionedCall")
"""Operations that are graphs of their own."""
GATHERS = ("GatherNd", "GatherV2")
"""Operations that take indices."""
MAX_NUMBERS = 32
"""Integers in a row that are written as a list: axes, sizes, positions."""


@dataclass(frozen=True)
class _Handle:
    """What is no numbers: a variable that may be read, or something else that is kept outside of the graph.

    Args:
        variable: ``None`` for something else.
    """

    variable: Any = None


Item = History | np.ndarray | _Handle
"""What a tensor is: what an entry gives, numbers, or a variable."""


def record_tensorflow(
    recorder: Recorder, path: str, ran: Concrete, known: Mapping[int, History], paths: Mapping[int, str]
) -> dict[int, History]:
    """Record a call of a layer from its graph.

    Args:
        recorder: what gets the entries.
        path: of the layer.
        ran: the call.
        known: what the symbolic tensors are that it was called with, by their identity.
        paths: of the layers of the model, by their identity.

    Returns:
        What the symbolic tensors are that it gave, by their identity.

    Raises:
        UnsupportedError: the call does something that no graph can; the message names the operation and the
            line of the user's code.
    """
    owner = f"{recorder.owner}: layer {path!r} ({type(ran.layer).__name__})"
    reader = _Reader(recorder, owner, path, ran, paths, named_variables(ran.layer, path, paths))
    reader.refuse_changes()
    items: dict[str, Item] = {tensor.name: known[id(one)] for one, tensor in ran.inputs}
    frame = _Frame(ran.graph, items | reader.captured())
    return {id(one): reader.output(frame, given) for one, given in ran.outputs}


@dataclass(frozen=True)
class _Frame:
    """A graph, or one inside of it as it is called once.

    Args:
        graph: of TensorFlow.
        items: what its tensors are, as far as they are known, by their names.
    """

    graph: Any
    items: dict[str, Item]


@dataclass
class _Reader:
    """The reading of one call."""

    recorder: Recorder
    owner: str
    path: str
    ran: Concrete
    paths: Mapping[int, str]
    names: Mapping[int, tuple[str, Any]]
    """By the identity of a variable of TensorFlow: its name, and the variable of Keras that it is of."""
    _of_layers: dict[tuple[int, str], LayerCall] = field(default_factory=dict)
    """By graph and name of a tensor: the call that gave it."""

    def __post_init__(self) -> None:
        for call in self.ran.calls:
            for tensor in call.outputs:
                if tensor is not None:
                    self._of_layers[id(tensor.graph), tensor.name] = call

    def captured(self) -> dict[str, Item]:
        """What the graph takes from outside: numbers, and variables to be read."""
        handles = {id(variable.handle): variable for variable in self.ran.graph.variables}
        captures = [(outside, inside.name) for outside, inside in self.ran.graph.captures]
        return {
            name: _numbers(outside) if _is_numeric(outside) else _Handle(handles.get(id(outside)))
            for outside, name in captures
        }

    def refuse_changes(self) -> None:
        """Refuse code that changes a variable, whether or not the outputs depend on it.

        Raises:
            UnsupportedError: it does.
        """
        inside = [call.operations for call in self.ran.calls if call.graph is self.ran.graph]
        for number, op in enumerate(self.ran.graph.get_operations()):
            if changes_state(op) and not any(number in operations for operations in inside):
                raise unsupported(self.owner, op)

    def output(self, frame: _Frame, given: Any) -> History:
        """What ``call`` gave as an entry has it."""
        item = self.item(frame, given) if _is_symbolic(given) else _numbers(given)
        return self._tensor(self.path, item)

    def _tensor(self, path: str, item: Item) -> History:
        """An item as an entry has it: numbers are one of their own."""
        if isinstance(item, np.ndarray):
            return self.recorder.constant(f"{path}.constant".lstrip("."), item)
        assert isinstance(item, Mapping)
        return item

    def item(self, frame: _Frame, tensor: Any) -> Item:
        """What a tensor is, after all that it is made of."""
        waiting = [tensor]
        while waiting:
            missing = [one for one in self._behind(waiting[-1]) if one.name not in frame.items]
            if missing:
                waiting += missing[::-1]
                continue
            self._read(frame, waiting.pop())
        return frame.items[tensor.name]

    def _behind(self, tensor: Any) -> list[Any]:
        """The tensors that one is made of."""
        call = self._of_layers.get((id(tensor.graph), tensor.name))
        if call is None:
            return list(tensor.op.inputs)
        return [one for one in _flat((call.arguments, call.options)) if _is_symbolic(one)]

    def _read(self, frame: _Frame, tensor: Any) -> None:
        if tensor.name in frame.items:
            return
        call = self._of_layers.get((id(tensor.graph), tensor.name))
        if call is not None:
            self._read_layer(frame, call)
            return
        op = tensor.op
        items = [frame.items[one.name] for one in op.inputs]
        outputs = self._outputs(op, items)
        frame.items.update(zip((one.name for one in op.outputs), outputs, strict=True))

    def _read_layer(self, frame: _Frame, call: LayerCall) -> None:
        name = self.paths.get(id(call.layer)) or f"{self.path}.{call.layer.name}".lstrip(".")
        arguments = [self._data(frame, name, one) for one in call.arguments]
        options = {key: self._data(frame, name, one) for key, one in call.options.items()}
        if not options.get("training"):
            options.pop("training", None)
        own, index = add_entry(self.recorder, name, call.layer, arguments, options)
        for number, output in enumerate(call.outputs):
            if output is not None:
                frame.items[output.name] = history(own, index, number)

    def _data(self, frame: _Frame, name: str, item: Any) -> Any:
        """An argument of a layer as plain data."""
        keras = sys.modules["keras"]
        if isinstance(item, Mapping):
            return {key: self._data(frame, name, one) for key, one in item.items()}
        if isinstance(item, list | tuple):
            return [self._data(frame, name, one) for one in item]
        if _is_symbolic(item):
            return self._tensor(name, frame.items[item.name])
        if keras.ops.is_tensor(item) or isinstance(item, np.ndarray):
            return self._tensor(name, _numbers(item))
        return keras.saving.serialize_keras_object(item)

    def _outputs(self, op: Any, items: Sequence[Item]) -> Sequence[Item]:
        """What an operation gives."""
        if op.type in SAME:
            return items
        if op.type == "Const":
            return [_numbers(op.outputs[0])]
        if op.type in CALLS:
            return self._inlined(op, items)
        if op.type == "ReadVariableOp":
            return [self._parameter(op, items[0])]
        if op.type == "ResourceGather":
            return self._recorded(op, "GatherV2", [self._parameter(op, items[0]), items[1], np.asarray(0)])
        arrays = [item for item in items if isinstance(item, np.ndarray)]
        folded = _folded(op, arrays) if arrays and len(arrays) == len(items) else None
        if folded is not None:
            return folded
        return self._recorded(op, op.type, items)

    def _inlined(self, op: Any, items: Sequence[Item]) -> Sequence[Item]:
        """What a graph inside of the graph gives for these items."""
        graph = op.graph._get_function(op.get_attr("f").name).graph
        frame = _Frame(graph, {one.name: item for one, item in zip(graph.inputs, items, strict=True)})
        return [self.item(frame, output) for output in graph.outputs]

    def _parameter(self, op: Any, item: Item) -> History:
        if not isinstance(item, _Handle) or item.variable is None:
            raise unsupported(self.owner, op)
        own = f"{self.path}.{item.variable.name.split(':')[0].split('/')[-1]}".lstrip(".")
        name, variable = self.names.get(id(item.variable), (own, item.variable))
        return self.recorder.parameter(name, variable)

    def _recorded(self, op: Any, kind: str, items: Sequence[Item]) -> Sequence[Item]:
        """The outputs of an operation that is an entry of its own."""
        if kind not in OPERATIONS or any(isinstance(item, _Handle) for item in items):
            raise unsupported(self.owner, op)
        attributes = {one.name: _attribute(op.get_attr(one.name)) for one in op.op_def.attr}
        inputs = [_argument(item, is_index=kind in GATHERS) for item in items]
        class_name, arguments, options = translated(self.owner, kind, attributes, inputs)
        label = snake_case(class_name.removeprefix("tf."))
        name = self.recorder.operation(
            f"{self.path}.{label}".lstrip("."), class_name, arguments, options, line=user_line(op.traceback)
        )
        return [history(name, 0, number) for number in range(len(op.outputs))]


def _flat(items: Any) -> list[Any]:
    return sys.modules["keras"].tree.flatten(items)


def _is_symbolic(item: Any) -> bool:
    """Whether something is a tensor of a graph."""
    return sys.modules["keras"].ops.is_tensor(item) and hasattr(item, "graph")


def _is_numeric(tensor: Any) -> bool:
    """Whether a tensor holds numbers or booleans."""
    return tensor.dtype.is_floating or tensor.dtype.is_integer or tensor.dtype.is_bool


def _numbers(tensor: Any) -> np.ndarray:
    """The numbers of a constant."""
    import tensorflow as tf

    return np.asarray(tf.get_static_value(tensor))


def _folded(op: Any, arrays: Sequence[np.ndarray]) -> Sequence[np.ndarray] | None:
    """What an operation gives of numbers; ``None`` where that is something else each time."""
    import tensorflow as tf

    function = getattr(tf.raw_ops, op.type, None)
    lists = any(argument.type_list_attr for argument in op.op_def.input_arg)
    numeric = all(map(_is_numeric, op.outputs))
    if function is None or lists or not numeric or op.op_def.is_stateful:
        return None
    taken = inspect.signature(function).parameters
    attributes = {one.name: op.get_attr(one.name) for one in op.op_def.attr if one.name in taken}
    inputs = {argument.name for argument in op.op_def.input_arg}
    # Some inputs have other names in Python than in the graph, in the same order.
    renamed = (name for name in taken if name not in {*inputs, *attributes, "name"})
    with tf.init_scope():
        left, given = [tf.constant(array) for array in arrays], {}
        for argument in op.op_def.input_arg:
            count = op.get_attr(argument.number_attr) if argument.number_attr else 1
            name = argument.name if argument.name in taken else next(renamed)
            given[name] = left[:count] if argument.number_attr else left[0]
            del left[:count]
        outputs = function(**given, **attributes)
    outputs = outputs if isinstance(outputs, list | tuple) else [outputs]
    return [_numbers(one) for one in outputs]


def _argument(item: Item, is_index: bool) -> Any:
    """An item as a translation takes it: a number or integers in a row are those, not an array.

    No integers at all are of no dtype, which indices have.
    """
    if not isinstance(item, np.ndarray):
        return item
    if is_index and not item.size:
        return array_data(item)
    if item.ndim == 0 or (item.dtype.kind == "i" and item.ndim < 3 and item.size <= MAX_NUMBERS):
        return item.tolist()
    return array_data(item)


def _attribute(value: Any) -> Any:
    """An attribute of an operation, dtypes by their names."""
    if isinstance(value, bytes):
        return value.decode()
    return value.name if hasattr(value, "as_numpy_dtype") else value
