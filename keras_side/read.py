"""Whole Keras models to graphs: from a live model, or from a file of any Keras, without keras.

Both ways end in the same serialised configuration, so a file gives the very graph its live model does.
Nested models are laid flat, their layers named ``outer.inner``. The masks Keras hands on behind the scenes
become edges here: a mask that a functional model recorded for a call is taken as recorded; where it
recorded none, the layer gets what its input carries, as it does when Keras runs the model. Files of Keras 1
and 2 come here in the words of Keras 3 (`keras_side.legacy`), with the rules their masks went by.
"""

from __future__ import annotations

import contextlib
import dataclasses
import heapq
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np

import keras_side.ops
from biport import ops
from biport.errors import (
    MAX_REASONS,
    BiportError,
    FileError,
    UnsupportedError,
    UnsupportedModelError,
    raise_unsupported,
    shown,
)
from biport.graph import Graph, Node, Value
from biport.registry import discover
from keras_side.attention import CARRIED, Call, refuse_old, refuse_weighted_padding
from keras_side.cells import CELL_READERS
from keras_side.data_operations import SUPPORTED, data_operation
from keras_side.entries import (
    Layer,
    flat_states,
    histories,
    model_layers,
    named,
    needed,
    own_call,
    read_calls,
    renumbered,
    resolved,
    size,
)
from keras_side.file import ModelFile
from keras_side.legacy.halves import repeating, side_by_side
from keras_side.legacy.masks import mask_rules
from keras_side.legacy.nodes import MODELS
from keras_side.legacy.origin import Origin
from keras_side.legacy.unlike import refuse_unlike
from keras_side.legacy.weights import UnplacedError
from keras_side.live import describe, is_live
from keras_side.masks import AllOf, AnyOf, FeaturesUnequal, Full, Given, InTime, Mask, Unequal
from keras_side.nearest import unsupported_class
from keras_side.operations import Data, Symbol, Unreadable, as_mask, evaluate, is_operation
from keras_side.order import ends_masks, gives_what_it_got, run_order
from keras_side.records import MAX_PARTS, LayerRecord, Variables, check_name, dtype_name, serialized
from keras_side.registry import READERS
from keras_side.registry import Reader as LayerReader

discover(keras_side.ops)

SMALL_INTEGERS = ("int8", "uint8", "int16", "uint16")
MAX_DEPTH = 32
MAX_RANK = 32
MALFORMED = (ArithmeticError, AttributeError, LookupError, OSError, RuntimeError, TypeError, ValueError)
"""What values of unforeseen types end in."""


def read(source: Any, config: Any = None) -> Graph:
    """Read a live Sequential or functional Keras model, or the file of one, into a graph.

    A file is read statically: neither keras nor tensorflow is imported and nothing in it is executed. It may
    be a ``.keras`` or ``.h5`` file of Keras 1, 2 or 3, and means what the Keras that wrote it meant.

    Args:
        source: a built live model, or the path of a file.
        config: for a file of weights alone, the configuration that goes with it, as ``model.to_json()``
            writes it: the path of a JSON file, or the mapping in it.

    Returns:
        The graph; the same, bit for bit, for a live model and for the file it was saved to.

    Raises:
        FileError: the file is missing, truncated, foreign or hostile.
        UnsupportedError: layers or settings biport does not port, all of them at once, by name.
        WeightError: weights missing, left over, of the wrong shape, or not finite.
        InputError: the live model has not been built; ``config`` is missing, or not needed.
    """
    if is_live(source):
        return read_live(source)
    if not isinstance(source, str | os.PathLike):
        raise UnsupportedError(
            f"{type(source).__module__}.{type(source).__qualname__}",
            supported=("live Keras models", "paths of .keras and .h5 files"),
        )
    path = Path(source)
    with reading(path.name), ModelFile(path, config) as file:
        return read_file(file)


def read_live(model: Any, instead: Mapping[int, np.ndarray] | None = None) -> Graph:
    """The graph of a live model; see `read`.

    Args:
        model: the model.
        instead: arrays to be read in place of the values of its variables, by the identity of these: reading
            is linear, so gradients come out under the names and in the layouts of the weights.
    """
    data, variables, version = describe(model)
    with _naming(variables.owner):
        variables = dataclasses.replace(variables, instead=instead or {})
        return _read_model(data, variables, variables.owner, Origin(version))


def read_file(file: ModelFile) -> Graph:
    """The graph of an open file; see `read`."""
    graph = _read_model(file.config, file.variables, file.owner, file.origin)
    file.variables.check_all_taken()
    return graph


@contextlib.contextmanager
def reading(owner: str) -> Iterator[None]:
    """Have every error name the file, and end in one of biport's whatever the file holds."""
    with _naming(owner):
        try:
            yield
        except RecursionError as error:
            raise FileError(f"{owner}: its configuration is nested too deep") from error
        except BiportError:
            raise
        except MALFORMED as error:
            raise FileError(f"{owner}: does not describe a model ({error!r})") from error


@contextlib.contextmanager
def _naming(owner: str) -> Iterator[None]:
    """Have every error name the model."""
    try:
        yield
    except UnsupportedError:
        raise
    except BiportError as error:
        raise type(error)(named(owner, str(error))) from error


def _read_model(data: Mapping[str, Any], variables: Variables, owner: str, origin: Origin) -> Graph:
    class_name, config = serialized(owner, data)
    reader = _Reader(owner, origin, ends_masks(config))
    outputs: list[_Tensor] = []
    try:
        outputs = reader.model(class_name, config, variables, prefix="", inputs=None)
    except UnsupportedError as problem:
        reader.refuse(problem)
    # What follows from another reason says nothing new.
    problems = [problem for problem in reader.problems if not isinstance(problem, UnplacedError)]
    raise_unsupported(owner, problems or reader.problems)
    dtype = next((found for node in reader.nodes if (found := node.op.dtype)), "float32")
    consumers: dict[str, set[type[ops.Op]]] = {}
    for node in reader.nodes:
        for name in node.inputs:
            consumers.setdefault(name, set()).add(type(node.op))
    return Graph(
        inputs=tuple(
            _graph_input(value, consumers.get(value.name, set()), dtype, owner) for value in reader.inputs
        ),
        nodes=tuple(reader.nodes),
        outputs=tuple(output.value for output in outputs),
        origin={"framework": "keras", "version": origin.version},
    )


def _graph_input(value: Value, used_by: set[type[ops.Op]], dtype: str, owner: str) -> Value:
    """A model input as the graph declares it.

    Keras takes ids as floats, the default of an InputLayer, and cuts them to integers; a graph says what
    they are. All float values of a graph have the dtype of its weights.
    """
    if value.dtype in (*ops.INTEGERS, "bool"):
        return value
    if value.dtype not in (*ops.FLOATS, *SMALL_INTEGERS):
        raise UnsupportedError(
            f"{owner}: input {value.name!r}", "dtype", value.dtype, (*ops.INTEGERS, *ops.FLOATS, "bool")
        )
    takes_ids = used_by & {ops.Embedding, ops.NotEqual}
    if takes_ids and used_by - takes_ids:
        raise UnsupportedError(
            f"{owner}: input {value.name!r}", "dtype", value.dtype, "integers for an input that holds ids"
        )
    if takes_ids or value.dtype in SMALL_INTEGERS:
        return Value(value.name, value.shape, "int32")
    return Value(value.name, value.shape, dtype)


@dataclass
class _Tensor:
    """A value while reading: its name in the graph and the mask Keras would hang on it."""

    value: str
    mask: Mask | None = None
    twins: list[_Tensor] = field(default_factory=list, repr=False, compare=False)
    """Other tensors that are one object with this one when the model runs."""

    def twin(self, value: str) -> _Tensor:
        """The same object under another name: some layers give what they got."""
        made = _Tensor(value, self.mask, self.twins)
        self.twins += [made] if self.twins else [self, made]
        return made

    def lose_mask(self) -> None:
        """Take off the mask of the object."""
        for tensor in self.twins or [self]:
            tensor.mask = None


Made = dict[tuple[str, int], Sequence[_Tensor | Symbol] | Unreadable]
"""By layer and call: what the call gave, or why it gave nothing."""


@dataclass
class _Reader:
    """What has been read so far of one model and the models inside it."""

    owner: str
    origin: Origin
    in_order: bool = False
    """Whether it matters in which order Keras runs the layers; see `keras_side.order`."""
    inputs: list[Value] = field(default_factory=list)
    nodes: list[Node] = field(default_factory=list)
    problems: list[UnsupportedError] = field(default_factory=list)
    _told: set[str] = field(default_factory=set)
    _mask_values: dict[Mask, str] = field(default_factory=dict)
    _names: set[str] = field(default_factory=set)
    _places: dict[str, int] = field(default_factory=dict)
    """Of inputs in `inputs`."""
    _steps: dict[int, ops.Cell] = field(default_factory=dict)
    """By the identity of a cell: the op that takes one step with it, the same for every call."""
    _set: dict[tuple, ops.Op] = field(default_factory=dict)
    """By the identity of an op and the settings of a call: the op with these settings."""
    _halves: dict[int, tuple[ops.Recurrent, ops.Recurrent]] = field(default_factory=dict)
    """By the identity of a Bidirectional: its halves, the same for every call."""
    _layers: dict[int, list[Layer]] = field(default_factory=dict)
    """By the identity of a model's configuration, so that a model called twice shares its weights."""
    _examined: set[int] = field(default_factory=set)
    """By the identity of a layer's configuration: those that were looked at without their input."""
    _depth: int = 0
    _parts: int = 0

    def __post_init__(self) -> None:
        self.rules = mask_rules(self.origin)

    def refuse(self, problem: UnsupportedError) -> None:
        """Note a problem, once, and go on to find the others."""
        for reason in problem.problems if isinstance(problem, UnsupportedModelError) else [problem]:
            if str(reason) not in self._told:
                self._told.add(str(reason))
                self.problems.append(reason)
        if len(self.problems) >= MAX_REASONS:
            raise_unsupported(self.owner, self.problems)

    def _count(self, parts: int) -> None:
        """Count what is read, which models called again and again make grow without end."""
        self._parts += parts
        if self._parts > MAX_PARTS:
            raise FileError(f"{self.owner}: more than {MAX_PARTS} layers, calls and arguments")

    def model(
        self,
        class_name: str,
        config: Mapping[str, Any],
        variables: Variables,
        prefix: str,
        inputs: Sequence[_Tensor] | None,
    ) -> list[_Tensor]:
        """Read a model, the outermost one (``inputs`` is ``None``) or one used as a layer."""
        if self._depth == MAX_DEPTH:
            raise FileError(f"{self.owner}: models nested more than {MAX_DEPTH} deep")
        layers = config.get("layers")
        if class_name not in MODELS or not isinstance(layers, list):
            raise UnsupportedError(self.owner, "class", class_name, ("Sequential", "Functional"))
        self._count(len(layers))
        read_layers = self._sequential if class_name == "Sequential" else self._functional
        if id(config) not in self._layers:
            self._layers[id(config)] = renumbered(list(model_layers(self.owner, layers, variables)))
        self._depth += 1
        try:
            return read_layers(config, self._layers[id(config)], prefix, inputs)
        finally:
            self._depth -= 1

    def _sequential(
        self, config: Mapping, layers: list[Layer], prefix: str, inputs: Sequence[_Tensor] | None
    ) -> list[_Tensor]:
        tensors = None if inputs is None else list(inputs)
        for layer in layers:
            if layer.class_name == "InputLayer":
                tensors = [self._input(layer, config) if tensors is None else self._enter(layer, tensors[0])]
            elif tensors is None:
                raise UnsupportedError(
                    f"{self.owner}: Sequential model",
                    "InputLayer",
                    None,
                    "models that were built before saving",
                )
            else:
                tensors = self._apply(layer, self._name(layer, prefix), tensors, None)
        if not tensors:
            raise FileError(f"{self.owner}: a Sequential model without layers")
        return tensors

    def _functional(
        self, config: Mapping, layers: list[Layer], prefix: str, inputs: Sequence[_Tensor] | None
    ) -> list[_Tensor]:
        made: Made = {}
        by_name = {layer.name: layer for layer in layers}
        if len(by_name) != len(layers):
            raise FileError(f"{self.owner}: two layers of one name")
        entries = self._histories(config.get("input_layers"))
        for position, (name, *_) in enumerate(entries):
            if name not in by_name or by_name[name].class_name != "InputLayer":
                raise FileError(f"{self.owner}: input {name!r} is not an InputLayer")
            layer = by_name[name]
            tensor = self._input(layer, config) if inputs is None else self._enter(layer, inputs[position])
            made[name, 0] = [tensor]
        outputs = [own_call(key, by_name) for key in self._histories(config.get("output_layers"))]
        calls = [(layer, index) for layer in layers for index in range(len(layer.calls))]
        self._count(sum(size(layer.calls[index]) for layer, index in calls))
        if self.in_order:
            parents = {(layer.name, index): read_calls(layer.calls[index]) for layer, index in calls}
            order = run_order(parents, [key[:2] for key in outputs])
            calls = [(by_name[name], index) for name, index in order]
        self._call_all(calls, made, prefix)
        return [self._data(self._found(made, key)) for key in outputs]

    def _histories(self, data: object) -> list[tuple[str, int, int]]:
        found = []
        for history in histories(self.owner, data):
            self._count(1)
            found.append(history)
        return found

    def _call_all(self, calls: list[tuple[Layer, int]], made: Made, prefix: str) -> None:
        """Make all calls of a model, in order, each once its arguments are there."""
        missing = [needed(layer.calls[index]) - made.keys() for layer, index in calls]
        waiting: dict[tuple[str, int], list[int]] = {}
        for number, lacking in enumerate(missing):
            for key in lacking:
                waiting.setdefault(key, []).append(number)
        ready = [number for number, lacking in enumerate(missing) if not lacking]
        while ready:
            layer, index = calls[heapq.heappop(ready)]
            made[layer.name, index] = self._call(layer, index, made, prefix)
            for number in waiting.pop((layer.name, index), ()):
                missing[number].discard((layer.name, index))
                if not missing[number]:
                    heapq.heappush(ready, number)
        if waiting:
            names = sorted({calls[number][0].name for numbers in waiting.values() for number in numbers})
            raise FileError(f"{self.owner}: layers that wait for each other or for nothing: {names[:20]}")

    def _found(self, made: Made, key: tuple[str, int, int]) -> _Tensor | Symbol:
        """One output of a call."""
        name, call, position = key
        outputs = made.get((name, call))
        if isinstance(outputs, Unreadable):
            return outputs
        if outputs is None or not 0 <= position < len(outputs):
            raise FileError(f"{self.owner}: there is no output {position} of call {call} of layer {name!r}")
        return outputs[position]

    def _call(
        self, layer: Layer, index: int, made: Made, prefix: str
    ) -> Sequence[_Tensor | Symbol] | Unreadable:
        """The outputs of a call, or why there are none."""

        def find(key: tuple[str, int, int]) -> _Tensor | Symbol:
            return self._found(made, key)

        arguments, options = layer.calls[index]
        arguments = [resolved(argument, find) for argument in arguments]
        options = {key: resolved(option, find) for key, option in options.items()}
        if is_operation(layer.module):
            symbols = [self._symbol(argument) for argument in arguments]
            symbols += [self._symbol(options.pop(key)) for key in ("x1", "x2", "x") if key in options]
            config = {**layer.config, **options}
            found = evaluate(layer.class_name, layer.name, self.owner, symbols, config)
            tensors = [part for item in arguments for part in (item if isinstance(item, list) else [item])]
            if not isinstance(found, Unreadable) or any(isinstance(item, Unreadable) for item in tensors):
                return [found]
            values = [item for item in tensors if isinstance(item, _Tensor)]
            if len(values) == len(tensors):
                return self._operate(layer, self._name(layer, prefix), values, config) or [found]
            return [self._of_a_constant(layer, tensors, found)]
        name = self._name(layer, prefix) + (f"@{index}" if index else "")
        try:
            if layer.problem is not None:
                raise layer.problem
            if layer.class_name not in MODELS:
                self._read_with(layer)
            if layer.class_name in READERS:
                reader = READERS.lookup(layer.class_name, layer.owner)
                if reader.calls is not None:
                    call = reader.calls(layer.owner, arguments, options)
                    return self._attend(layer, name, reader, call)
            tensors, mask, states = self._call_arguments(layer, arguments, options)
            return self._apply(layer, name, tensors, mask, states)
        except UnsupportedError as problem:
            self._examine(layer)
            problem.of_layer(layer.name, layer.class_name)
            self.refuse(problem)
            return Unreadable(problem)

    def _examine(self, layer: Layer) -> None:
        """Refuse all that is wrong with a layer itself, whose input may be unknown; once for its calls."""
        if id(layer.config) in self._examined:
            return
        self._examined.add(id(layer.config))
        if layer.class_name in MODELS and layer.problem is None:
            entries = layer.config.get("layers")
            inner = entries if isinstance(entries, list) else []
            self._count(len(inner))
            for found in model_layers(self.owner, inner, layer.variables):
                self._examine(found)
            return
        if is_operation(layer.module) or layer.class_name == "InputLayer":
            return
        try:
            if layer.problem is not None:
                raise layer.problem
            layer.read(self._read_with(layer))
        except UnsupportedError as problem:
            problem.of_layer(layer.name, layer.class_name)
            self.refuse(problem)

    def _read_with(self, layer: Layer) -> Callable[[LayerRecord], ops.Op]:
        """The function that reads a layer.

        Raises:
            UnsupportedError: there is none.
        """
        if layer.class_name in CELL_READERS:
            return CELL_READERS.lookup(layer.class_name, layer.owner)
        if layer.class_name not in READERS:
            raise unsupported_class(layer.owner, layer.class_name, layer.config)
        return READERS.lookup(layer.class_name, layer.owner).read

    def _of_a_constant(self, layer: Layer, arguments: Sequence[Any], found: Unreadable) -> Unreadable:
        """Why an operation cannot be read that takes something else than tensors."""
        if layer.class_name not in SUPPORTED:
            return found
        constant = next(item for item in arguments if not isinstance(item, _Tensor))
        owner = f"{self.owner}: operation {layer.name!r} ({layer.class_name})"
        problem = UnsupportedError(
            owner, "argument", constant, "tensors; a Dense can hold a factor or an offset"
        )
        problem.of_layer(layer.name, layer.class_name)
        return Unreadable(problem)

    def _operate(
        self, layer: Layer, name: str, tensors: Sequence[_Tensor], config: Mapping[str, Any]
    ) -> list[_Tensor] | None:
        """An operation between layers; it neither takes masks nor hands them on."""
        op = data_operation(layer.class_name, len(tensors), config)
        if op is None:
            return None
        self._add(Node(name, op, tuple(tensor.value for tensor in tensors)))
        return [_Tensor(name)]

    def _call_arguments(
        self, layer: Layer, arguments: list, options: Mapping
    ) -> tuple[list[_Tensor], Mask | None, list[_Tensor]]:
        """What a call reads: its data, the mask it was given and the initial states."""
        is_cell = layer.class_name in CELL_READERS
        takes_states = is_cell or (
            layer.class_name in READERS and READERS.lookup(layer.class_name, layer.owner).states
        )
        key_of_states = "states" if is_cell else "initial_state"
        known = {key_of_states} if takes_states else set()
        for key, option in options.items():
            harmless = option is None or (key == "training" and option is False)
            if not harmless and key != "mask" and key not in known:
                raise UnsupportedError(layer.owner, f"call argument {key}", option, "calls without it")
        if not 1 <= len(arguments) <= (2 if takes_states else 1):
            raise UnsupportedError(layer.owner, "call arguments", len(arguments), "one, or one list")
        flat = arguments[0] if isinstance(arguments[0], list) else arguments[:1]
        mask = options.get("mask")
        if not flat:
            raise FileError(f"{layer.owner}: is called without inputs")
        if isinstance(mask, list):
            raise UnsupportedError(layer.owner, "call argument mask", "a list", "one mask")
        states = arguments[1] if len(arguments) == 2 else options.get(key_of_states)
        return (
            [self._data(item) for item in flat],
            as_mask(self._symbol(mask), layer.owner),
            [self._data(item) for item in flat_states(states)],
        )

    def _data(self, item: object) -> _Tensor:
        """A tensor that can be read as data.

        Raises:
            UnsupportedError: it comes from an operation, or from a layer already refused.
        """
        if isinstance(item, _Tensor):
            return item
        if isinstance(item, Unreadable):
            raise item.problem
        raise UnsupportedError(self.owner, "tensor", str(item)[:60], "outputs of layers")

    def _symbol(self, item: Any) -> Any:
        """A tensor as `keras_side.operations` sees it; numbers and lists stay what they are."""
        if isinstance(item, list):
            return [self._symbol(part) for part in item]
        if not isinstance(item, _Tensor):
            return item
        place = self._places.get(item.value)
        return Data(item.value, "" if place is None else self.inputs[place].dtype)

    def _input(self, layer: Layer, config: Mapping) -> _Tensor:
        shape = layer.config.get("batch_shape")
        if not _is_shape(shape):
            raise FileError(f"{layer.owner}: batch_shape should be a list of sizes, found {shown(shape)}")
        if layer.config.get("sparse") or layer.config.get("ragged"):
            raise UnsupportedError(layer.owner, "sparse or ragged", True, "dense inputs")
        # Two inputs need not be of one length, so each has letters of its own.
        other = f"_{len(self.inputs) + 1}" if self.inputs else ""
        letters = ["N", *(f"{letter}{other}" for letter in ("T", *(f"D{i}" for i in range(2, len(shape)))))]
        # A batch size in the file is the one the model happened to be built with.
        dims = ["N", *(letters[axis] if dim is None else dim for axis, dim in enumerate(shape) if axis)]
        dtype = layer.config.get("dtype") or "float32"
        if not isinstance(dtype, str):
            raise FileError(f"{layer.owner}: dtype should be a name, found {dtype!r}")
        self._places.setdefault(layer.name, len(self.inputs))
        self.inputs.append(Value(layer.name, tuple(dims), str(dtype)))
        self._names.add(layer.name)
        return _Tensor(layer.name)

    def _enter(self, layer: Layer, tensor: _Tensor) -> _Tensor:
        """A tensor that goes into a model inside another; Keras cuts it to integers if that takes integers.

        Raises:
            UnsupportedError: it is no model input, so that it holds other numbers than integers.
        """
        dtype = layer.config.get("dtype")
        if dtype not in (*ops.INTEGERS, *SMALL_INTEGERS):
            return tensor
        place = self._places.get(tensor.value)
        if place is not None:
            value = self.inputs[place]
            if value.dtype in ops.FLOATS:
                self.inputs[place] = Value(value.name, value.shape, "int32")
            return tensor
        raise UnsupportedError(layer.owner, "dtype", dtype, "float32 or float64 for outputs of layers")

    def _name(self, layer: Layer, prefix: str) -> str:
        return prefix + layer.name

    def _apply(
        self,
        layer: Layer,
        name: str,
        tensors: Sequence[_Tensor],
        mask: Mask | None,
        states: Sequence[_Tensor] = (),
    ) -> list[_Tensor]:
        if layer.class_name in MODELS and layer.problem is None:
            if mask is not None:
                tensors = [t if t.mask == mask else _Tensor(t.value, mask) for t in tensors]
            return self.model(layer.class_name, layer.config, layer.variables, f"{name}.", tensors)
        try:
            return self._apply_layer(layer, name, tensors, mask, states)
        except UnsupportedError as problem:
            if layer.calls:
                raise
            # In a Sequential model, go on as if the layer were not there, to find all that is wrong.
            problem.of_layer(layer.name, layer.class_name)
            self.refuse(problem)
            return list(tensors)

    def _apply_layer(
        self,
        layer: Layer,
        name: str,
        tensors: Sequence[_Tensor],
        mask: Mask | None,
        states: Sequence[_Tensor],
    ) -> list[_Tensor]:
        if layer.problem is not None:
            raise layer.problem
        if layer.class_name in CELL_READERS:
            return self._apply_cell(layer, name, tensors, states)
        op = layer.read(self._read_with(layer))
        reader = READERS.lookup(layer.class_name, layer.owner)
        # A recorded mask equal to the one the input carries keeps that one's name.
        carried = [tensor.mask if mask in (None, tensor.mask) else mask for tensor in tensors]
        # Keras 3.15 gives a layer the mask its input carries only where the input is its one tensor: called
        # with an initial state, a recurrent layer walks the padding too, though it hands the mask on.
        alone = mask is None and bool(states) and not self.rules.beside_states
        unmasked = alone or layer.class_name in self.rules.unmasked
        taken = [None] * len(carried) if unmasked else carried
        refuse_unlike(self.origin, layer.owner, op, any(taken), bool(states))
        count = op.output_count
        values = [name] if count == 1 else [f"{name}:{position}" for position in range(count)]
        inputs = [tensor.value for tensor in tensors]
        masks = [
            None
            if position not in op.masked or found is None or isinstance(found, Full)
            else self._mask_value(found)
            for position, found in enumerate(taken)
        ]
        if reader.refuse_masked is not None and any(masks):
            reader.refuse_masked(layer.record, op)
        sources = (*inputs, *(state.value for state in states))
        if masks[0] is not None and self.rules.halves_repeat and _is_walked_twice(op):
            values = self._apply_halves(name, op, sources, masks[0])
        else:
            self._add(Node(name, op, sources, tuple(values), (*masks, *[None] * len(states))))
        try:
            rule = self.rules.of_layers.get(layer.class_name, reader.masks)
            handed = carried if self.rules.given_goes_on else [tensor.mask for tensor in tensors]
            made = rule(op, name, inputs, handed)
        except UnsupportedError as problem:
            raise UnsupportedError(
                layer.owner, problem.setting, problem.value, problem.supported
            ) from problem
        if gives_what_it_got(op):
            return [tensors[0].twin(values[0])]
        return [_Tensor(value, found) for value, found in zip(values, made, strict=True)]

    def _apply_halves(self, name: str, op: ops.Bidirectional, sources: Sequence[str], mask: str) -> list[str]:
        """A Bidirectional of the standalone Keras under a mask; the values it gives."""
        if id(op) not in self._halves:
            self._halves[id(op)] = repeating(op)
        nodes, values = side_by_side(name, self._halves[id(op)], op.merge, sources[0], mask, sources[1:])
        for node in nodes:
            self._add(node)
        return values

    def _attend(self, layer: Layer, name: str, reader: LayerReader, call: Call) -> list[_Tensor]:
        """A call of an attention, which has a mask for each of its sequences."""
        op = self._with_settings(layer.read(reader.read), call.settings)
        tensors = [self._data(item) for item in call.sequences]
        given = [
            tensor.mask if mask is CARRIED else as_mask(self._symbol(mask), layer.owner)
            for tensor, mask in zip(tensors, call.masks, strict=True)
        ]
        masks = [
            self._mask_value(mask) if position in op.masked and _counts(mask) else None
            for position, mask in enumerate(given)
        ]
        refuse_old(self.origin, layer.owner, op, any(masks))
        dtype = op.dtype or dtype_name(layer.config.get("dtype"))
        refuse_weighted_padding(layer.owner, op, masks[1] is not None, dtype)
        values = [name] if op.output_count == 1 else [f"{name}:{n}" for n in range(op.output_count)]
        inputs = tuple(tensor.value for tensor in tensors)
        self._add(Node(name, op, inputs, tuple(values), tuple(masks)))
        made = reader.masks(op, name, inputs, given)
        if call.ends_masks:
            for tensor in tensors:
                tensor.lose_mask()
        return [_Tensor(value, mask) for value, mask in zip(values, made, strict=True)]

    def _with_settings(self, op: ops.Op, settings: Mapping[str, bool]) -> ops.Op:
        """The op as a call sets it, the same for all calls that set it so."""
        if all(getattr(op, name) == value for name, value in settings.items()):
            return op
        key = id(op), tuple(sorted(settings.items()))
        return self._set.setdefault(key, dataclasses.replace(op, **settings))  # type: ignore[type-var]

    def _apply_cell(
        self, layer: Layer, name: str, tensors: Sequence[_Tensor], states: Sequence[_Tensor]
    ) -> list[_Tensor]:
        """A cell used as a layer, for one step: its op over a sequence of one."""
        cell = layer.read(CELL_READERS.lookup(layer.class_name, layer.owner))
        assert isinstance(cell, ops.Cell)
        if id(cell) not in self._steps:
            self._steps[id(cell)] = dataclasses.replace(cell, return_state=True)
        op = self._steps[id(cell)]
        sequence = f"{name}.step"
        self._add(Node(sequence, ops.RepeatVector(n=1), (tensors[0].value,)))
        values = tuple(f"{name}:{position}" for position in range(op.output_count))
        self._add(Node(name, op, (sequence, *(state.value for state in states)), values))
        return [_Tensor(value) for value in values]

    def _mask_value(self, mask: Mask) -> str:
        """The graph value of a mask, made when first asked for."""
        if isinstance(mask, Given):
            return mask.value
        if mask in self._mask_values:
            return self._mask_values[mask]
        match mask:
            case Unequal(value, number, name):
                op, inputs = ops.NotEqual(value=number), (value,)
            case FeaturesUnequal(value, number, name):
                op, inputs = ops.FeaturesNotEqual(value=number), (value,)
            case AllOf(masks, name):
                op, inputs = ops.LogicalAnd(), tuple(self._mask_value(part) for part in masks)
            case AnyOf(masks, name):
                op, inputs = ops.LogicalOr(), tuple(self._mask_value(part) for part in masks)
            case InTime(masks, name):
                op, inputs = ops.Concatenate(axis=1), tuple(self._mask_value(part) for part in masks)
            case Full(value):
                op, inputs, name = ops.OnesLike(), (value,), f"{value}_all_steps"
        while name in self._names:
            name += "_"
            check_name(self.owner, name)
        self._add(Node(name, op, inputs))
        self._mask_values[mask] = name
        return name

    def _add(self, node: Node) -> None:
        check_name(self.owner, node.name)
        self._count(len(node.name) // 1000)
        self._names.add(node.name)
        self.nodes.append(node)


def _is_walked_twice(op: ops.Op) -> TypeGuard[ops.Bidirectional]:
    return isinstance(op, ops.Bidirectional) and op.forward.return_sequences


def _counts(mask: Mask | None) -> TypeGuard[Mask]:
    """Whether a mask may mask anything."""
    return mask is not None and not isinstance(mask, Full)


def _is_size(dim: object) -> bool:
    return isinstance(dim, int) and not isinstance(dim, bool) and 0 < dim < 2**63


def _is_shape(shape: object) -> TypeGuard[list[int | None]]:
    if not isinstance(shape, list) or not 0 < len(shape) <= MAX_RANK:
        return False
    return all(dim is None or _is_size(dim) for dim in shape)
