"""One call of an operation between layers: what it reads, the mask or the data it gives, and its nodes.

Operations take no masks and hand none on: those hang on tensors, and Keras hangs them on what layers give
(keras/src/layers/layer.py of 3.15, ``Layer._set_mask_metadata``). An operation that gives the very tensor it
was given leaves that one's mask on it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

import keras_side.operations
from biport import ops
from biport.errors import UnsupportedError, joined
from biport.graph import Node
from biport.ops import EVERY_DTYPE, FLOATS, INTEGERS, Op
from biport.registry import discover, snake_case
from keras_side.masks import Mask, OfScores
from keras_side.operations.elementwise import COPIES
from keras_side.operations.known_sizes import Sizes
from keras_side.operations.refused import unsupported_operation
from keras_side.operations.registry import OPERATIONS, OperationCall, Weights, bind, read_operation
from keras_side.operations.terms import FLOAT, Application, Term, constant
from keras_side.reading.config_entries import Layer, resolved
from keras_side.reading.graph_builder import GraphBuilder, KerasTensor, OperationOutput
from keras_side.reading.mask_expressions import MASKS, Symbol, Unreadable, evaluate

discover(keras_side.operations)

Find = Callable[[tuple[str, int, int]], Any]
"""The output of a call, by layer, call and position."""

RESHAPED: Mapping[type[Op], Callable[[Any, np.ndarray], np.ndarray]] = {
    ops.ExpandDims: lambda op, array: np.expand_dims(array, op.axes),
    ops.Identity: lambda op, array: array,
    ops.PermuteDims: lambda op, array: array.transpose(op.axes),
    ops.Squeeze: lambda op, array: np.squeeze(array, op.axes),
}
"""What weights may go through on their way to what takes them."""

SEEN_THROUGH = ("Cast", "ConvertToTensor", "Equal", "NotEqual")
"""Operations that give the same of an integer however many bits it has."""


@dataclass
class OperationApplier:
    """How operations are applied in one model and the models inside it.

    Args:
        builder: where the nodes go.
        owner: the model.
    """

    builder: GraphBuilder
    owner: str
    _constants: dict[tuple, str] = field(default_factory=dict)
    """By dtype, shape and bytes: the value of a constant."""
    _sizes: dict[str, Sizes] = field(default_factory=dict)
    """By value: the sizes of tensors that it is."""

    def operation(
        self, layer: Layer, index: int, find: Find, prefix: str
    ) -> Sequence[KerasTensor | OperationOutput | Unreadable]:
        """The outputs of a call of an operation, or why there are none."""
        name = prefix + layer.name + (f"@{index}" if index else "")
        owner = f"{self.owner}: operation {layer.name!r} ({layer.class_name})"
        owner += f" in {layer.line}" if layer.line else ""
        recorded, options = layer.calls[index]
        arguments = [resolved(item, find) for item in recorded]
        options = {key: resolved(item, find) for key, item in options.items()}
        problems = _problems([arguments, *options.values()])
        if layer.class_name not in OPERATIONS:
            problems.append(unsupported_operation(owner, layer.class_name))
            problems[-1].of_layer(layer.name, layer.class_name)
        if problems:
            return [Unreadable(joined(self.owner, problems))]
        try:
            reader = OPERATIONS.lookup(layer.class_name, owner)
            config = {
                key: self._precise(key, option)
                for key, option in (*layer.config.items(), *options.items())
                if key in layer.config or key not in reader.takes
            }
            try:
                bound = dict(bind(reader.takes, arguments, options))
            except ValueError as error:
                raise UnsupportedError(owner, "call", str(error), ", ".join(reader.takes)) from error
            call = OperationCall(layer.class_name, owner, config, bound, self._known)
            self._check_dtypes(call, [recorded, list(layer.calls[index][1].values())])
            symbol = self._symbol(call, name)
            if symbol is None:
                return self._computed(call, name)
            return [OperationOutput(symbol, lambda: self._data(call, name, symbol))]
        except UnsupportedError as problem:
            problem.of_layer(layer.name, layer.class_name)
            return [Unreadable(problem)]

    def _known(self, value: str) -> Weights | None:
        """A constant or a weight of the graph, also in another shape."""
        node = self.builder.node_of(value)
        match node:
            case Node(op=ops.Parameter(value=array, trainable=trainable)):
                self.builder.taken.add(node.name)
                return Weights(array, trainable)
            case Node(op=ops.Constant(value=array)):
                return Weights(array, trainable=False)
            case Node(op=op, inputs=[source]) if (function := RESHAPED.get(type(op))) is not None:
                known = self._known(source)
                return None if known is None else known._replace(array=function(op, known.array))
        return None

    def _symbol(self, call: OperationCall, name: str) -> Symbol | None:
        """What the operation makes of masks, where it makes a mask of them."""
        if call.class_name not in MASKS:
            return None
        arguments = [self.builder.symbol(item) for item in call.arguments.values()]
        return evaluate(call.class_name, name, arguments, call.config)

    def _data(self, call: OperationCall, name: str, symbol: Symbol) -> KerasTensor:
        """The same as a value of the graph: the mask itself, where it is one."""
        if isinstance(symbol, Mask) and not isinstance(symbol, OfScores):
            return KerasTensor(self.builder.mask_value(symbol))
        (tensor,) = self._computed(call, name)
        return tensor

    def _computed(self, call: OperationCall, name: str) -> list[KerasTensor]:
        """The outputs as values of the graph."""
        given: dict[str, KerasTensor] = {}
        arguments = {key: self._argument(call, item, given) for key, item in call.arguments.items()}
        config = {key: self._setting(call, item, given) for key, item in call.config.items()}
        call = replace(call, arguments=arguments, config=config)
        terms = read_operation(call)
        if call.class_name == "Cast" and call.config.get("dtype") in FLOATS:
            self.builder.floats.append((call.owner, str(call.config["dtype"])))
        (first, *others) = terms
        if not others and isinstance(first.source, str):
            self.builder.add_operation(Node(name, ops.Identity(), (first.source,)))
            copied = call.class_name in COPIES or first.source not in given
            return [KerasTensor(name) if copied else given[first.source].twin(name)]
        values = self._values(terms, name)
        self._sizes |= {
            value: term.sizes for value, term in zip(values, terms, strict=True) if term.sizes is not None
        }
        return [KerasTensor(value) for value in values]

    def _values(self, terms: Sequence[Term], name: str) -> list[str]:
        """Put what the terms are made of into the graph; the values they become.

        The application that gives the first of them has the operation's name.
        """
        main = terms[0].source
        values: dict[int, tuple[str, ...]] = {}

        def value(term: Term) -> str:
            if isinstance(term.source, str):
                return term.source
            application = term.source
            if id(application) not in values:
                inputs = tuple(value(item) for item in application.inputs)
                values[id(application)] = self._value(application, inputs, name, application is main)
            return values[id(application)][term.position]

        return [value(term) for term in terms]

    def _value(
        self, application: Application, inputs: tuple[str, ...], name: str, main: bool
    ) -> tuple[str, ...]:
        op = application.op
        key = None
        if isinstance(op, ops.Constant) and not main:
            key = (op.value.dtype.name, op.value.shape, op.value.tobytes())
            if key in self._constants:
                return (self._constants[key],)
        own = name if main else self.builder.free_name(f"{name}.{_label(op)}")
        count = op.output_count
        outputs = (own,) if count == 1 else tuple(f"{own}:{position}" for position in range(count))
        self.builder.add_operation(Node(own, op, inputs, outputs))
        if key is not None:
            self._constants[key] = own
        return outputs

    def _setting(self, call: OperationCall, item: Any, given: dict[str, KerasTensor]) -> Any:
        """A setting: what the file says, but for the tensors that Keras 2 has in settings too."""
        return self._argument(call, item, given) if _has_tensors(item) else item

    def _argument(self, call: OperationCall, item: Any, given: dict[str, KerasTensor]) -> Any:
        """An argument as readers take it: a term for a tensor or an array, or a Python value.

        ``given`` gets the tensors among them, by their values.
        """
        if isinstance(item, KerasTensor | OperationOutput):
            tensor = self.builder.data(item)
            given[tensor.value] = tensor
            value = tensor.value
            return Term(self.builder.tensor(value), value, sizes=self._sizes.get(value))
        if isinstance(item, list | tuple):
            return [self._argument(call, part, given) for part in item]
        if isinstance(item, Mapping):
            return _python_value(call, item, (*EVERY_DTYPE, *self.builder.coarse))
        return item

    def _precise(self, key: str, option: Any) -> Any:
        """A setting, with float32 in place of the half precision that the model computes in."""
        return FLOAT if key.endswith("dtype") and option in self.builder.coarse else option

    def _check_dtypes(self, call: OperationCall, recorded: Sequence[Any]) -> None:
        """Refuse tensors of dtypes that no graph has, whose numbers wrap round or are rounded elsewhere."""
        known, waiting = (*EVERY_DTYPE, *self.builder.coarse), list(recorded)
        while waiting:
            item = waiting.pop()
            if isinstance(item, list):
                waiting += item
            match item:
                case {"class_name": "__keras_tensor__", "config": {"dtype": str(dtype)}} if (
                    dtype not in known
                ):
                    if not ("int" in dtype and call.class_name in SEEN_THROUGH):
                        raise call.refusal("dtype", dtype, (*EVERY_DTYPE,))


def _has_tensors(item: Any) -> bool:
    """Whether something is a tensor, or a list with one in it."""
    if isinstance(item, list | tuple):
        return any(map(_has_tensors, item))
    return isinstance(item, KerasTensor | OperationOutput)


def _python_value(call: OperationCall, item: Mapping[str, Any], dtypes: Sequence[str]) -> Any:
    """What Keras serialised in its own words (keras/src/saving/serialization_lib.py of 3.15)."""
    match item:
        case {"class_name": "__slice__", "config": {"start": start, "stop": stop, "step": step}}:
            return slice(start, stop, step)
        case {"class_name": "__ellipsis__"}:
            return Ellipsis
        case {"class_name": "__numpy__" | "__tensor__", "config": {"value": value, "dtype": str(dtype)}}:
            if dtype not in dtypes:
                raise call.refusal("dtype", dtype, EVERY_DTYPE)
            try:
                array = np.asarray(value, dtype if dtype in (*INTEGERS, "bool") else "float64")
            except (TypeError, ValueError, OverflowError) as error:
                raise call.refusal("constant", str(value)[:60], f"{dtype} numbers") from error
            if np.isnan(array).any():
                raise call.refusal("constant", "NaN", "numbers")
            return constant(array)
    raise call.refusal("argument", item.get("class_name"), "tensors, numbers, arrays and slices")


def _label(op: Op) -> str:
    return getattr(op, "function", None) or snake_case(op.kind)


def _problems(items: Any) -> list[UnsupportedError]:
    """Why some of the items, those inside lists too, cannot be read."""
    if isinstance(items, list):
        return [problem for item in items for problem in _problems(item)]
    return [items.problem] if isinstance(items, Unreadable) else []
