"""A call of a layer of somebody's own, as the function says that reads its class."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from biport import ops
from biport.errors import InputError, WeightError
from biport.extend import Builder, Symbolic, described, named_errors, node_name, symbolic_outputs
from biport.graph import Node
from biport.ops import FLOATS, Op, Tensor, TensorOperation
from biport.registry import snake_case
from keras_side.mapped import ClassReader
from keras_side.masks import Given, Mask
from keras_side.reading.config_entries import Layer
from keras_side.reading.graph_builder import GraphBuilder, KerasTensor

Called = Callable[[Layer, str, list[Any], dict[str, Any]], Sequence[KerasTensor]]
"""What the traversal does with a call of a layer: ``(layer, name, arguments, options) -> outputs``."""


@dataclass
class Shared:
    """What all calls of one layer have in common.

    Args:
        ops: by the name of a node behind the layer's: the op, with its weights.
        inside: by attribute: the layers inside.
        numbers: how many numbers of its weights were read, by what they were read for.
    """

    ops: dict[str, Op] = field(default_factory=dict)
    inside: dict[str, Layer] = field(default_factory=dict)
    numbers: dict[str, int] = field(default_factory=dict)


class MappedLayer(Builder):
    """A call of a layer, for the function that reads its class.

    Attributes:
        name: of the layer, behind the models it is in.
        config: its configuration, as ``get_config`` gave it.
        inputs: the tensors it is called with, in order; ``mask`` of each is the one it carries.
        arguments: all it is called with by position, tensors among them.
        options: all it is called with by name, but for ``mask`` and ``training``.
    """

    def __init__(
        self,
        layer: Layer,
        name: str,
        arguments: Sequence[Any],
        options: Mapping[str, Any],
        builder: GraphBuilder,
        called: Called,
        shared: Shared,
    ) -> None:
        self.name = name
        self.config: Mapping[str, Any] = layer.config
        self._layer, self._builder, self._called, self._shared = layer, builder, called, shared
        self._masks: dict[Symbolic, Mask] = {}
        self._counts: dict[str, int] = {}
        self._parameters: dict[str, Symbolic] = {}
        self.inputs: list[Symbolic] = []
        self.arguments = [self._symbolic(part) for part in arguments]
        self.options = {
            key: self._symbolic(part) for key, part in options.items() if key not in ("mask", "training")
        }

    @property
    def input(self) -> Symbolic:
        """The one tensor that it is called with.

        Raises:
            InputError: there are several, or none.
        """
        if len(self.inputs) != 1:
            raise InputError(f"it is called with {len(self.inputs)} tensors, see layer.inputs")
        return self.inputs[0]

    def weights(self, *names: str, frozen: Sequence[str] = ()) -> list[Symbolic]:
        """All weights of its own, without those of layers inside it, in the order it added them.

        Args:
            names: what nodes are called; where a file or a live layer has names, these have to be in that
                order.
            frozen: those that training does not change, which Keras lists behind the others.

        Raises:
            WeightError: there are more or fewer.
        """
        arrays = self.arrays(*names, *frozen)
        trained = () if self.config.get("trainable", True) is False else names
        for name, array in arrays.items():
            if name not in self._parameters:
                self._parameters[name] = self.parameter(array, name, name in trained)
        return [self._parameters[name] for name in arrays]

    def arrays(self, *names: str) -> dict[str, np.ndarray]:
        """The same as arrays by name, for ops that take their weights so."""
        arrays = self._layer.variables.own(names)
        self._shared.numbers[""] = sum(array.size for array in arrays.values())
        return arrays

    def sublayer(self, attribute: str, class_name: str, **config: Any) -> Callable[..., Any]:
        """A layer inside this one, which `keras_side.read` reads: called like it, it gives what it does.

        Args:
            attribute: under which this layer has it, ``"score"``; in a list, ``"scores.0"``.
            class_name: of Keras' own, ``"Dense"``.
            config: what it was made with, by the names of its constructor.

        Returns:
            A function of tensors and options as Keras' layer takes them; it gives a tensor, or several. Each
            carries the mask that Keras hangs on it.
        """
        if attribute not in self._shared.inside:
            self._shared.inside[attribute] = _inside(self._layer, attribute, class_name, config)
            self._shared.numbers[attribute] = self._shared.inside[attribute].variables.count()
        inner = self._shared.inside[attribute]

        def call(*arguments: Any, **options: Any) -> Any:
            given = [self._keras(part) for part in arguments]
            named = {key: self._keras(part) for key, part in options.items()}
            outputs = self._called(inner, self._free(attribute), given, named)
            symbolic = [self._of(tensor) for tensor in outputs]
            return symbolic[0] if len(symbolic) == 1 else tuple(symbolic)

        return call

    def masked(self, x: Symbolic, mask: Symbolic | None) -> Symbolic:
        """The same value with a mask, ``(N, T)`` of booleans, or with none: what ``compute_mask`` gives."""
        return Symbolic(self, x.source, mask)

    def emit(
        self, op: Op, inputs: Sequence[str], masks: Sequence[str | None], name: str | None
    ) -> Sequence[str]:
        """The op as a node of the graph, the same op in every call of the layer."""
        own = self._count(name or node_name(op))
        known = self._shared.ops.setdefault(own, op)
        op = known if known == op else op
        path = self._builder.free_name(f"{self.name}.{own}")
        count = op.output_count
        values = (path,) if count == 1 else tuple(f"{path}:{position}" for position in range(count))
        node = Node(path, op, tuple(inputs), values, tuple(masks))
        if isinstance(op, TensorOperation) and not isinstance(op, ops.Parameter):
            self._builder.add_operation(node)
        else:
            self._builder.add(node)
        for value in values:
            self.tensor(value)
        return values

    def tensor(self, value: str) -> Tensor:
        """Shape and dtype of a value; float32 for every float."""
        return self._builder.tensor(value)

    def constant(self, array: Any, name: str | None = None) -> Symbolic:
        """An array that is part of the program; floats have the dtype of the model's weights."""
        numbers = np.asarray(array)
        return super().constant(numbers.astype("float64") if numbers.dtype.name in FLOATS else numbers, name)

    def _free(self, name: str) -> str:
        return self._builder.free_name(f"{self.name}.{self._count(name)}")

    def _count(self, name: str) -> str:
        """A name that no node of this call has."""
        number = self._counts.get(name, 0)
        self._counts[name] = number + 1
        return f"{name}_{number}" if number else name

    def _symbolic(self, part: Any) -> Any:
        if isinstance(part, list):
            return [self._symbolic(one) for one in part]
        if part is None or isinstance(part, bool | int | float | str | Mapping):
            return part
        self.inputs.append(self._of(self._builder.data(part)))
        return self.inputs[-1]

    def _of(self, tensor: KerasTensor) -> Symbolic:
        if tensor.mask is None:
            return Symbolic(self, tensor.value)
        # Some masks are handed on and can be no value.
        mask = Symbolic(self, functools.partial(self._builder.mask_value, tensor.mask))
        self._masks[mask] = tensor.mask
        return Symbolic(self, tensor.value, mask)

    def _keras(self, part: Any) -> Any:
        if isinstance(part, list | tuple):
            return [self._keras(one) for one in part]
        if not isinstance(part, Symbolic):
            return part
        if part.mask is None:
            return KerasTensor(part.value)
        return KerasTensor(part.value, self._masks.get(part.mask) or Given(part.mask.value))

    def outputs(self, given: Any) -> list[KerasTensor]:
        """What the function that reads it gave, as tensors of Keras."""
        return [self._keras(part) for part in symbolic_outputs(given)]


def _inside(layer: Layer, attribute: str, class_name: str, config: Mapping[str, Any]) -> Layer:
    """A layer inside another, which the configuration of that does not describe."""
    container, _, number = attribute.partition(".")
    if number:
        index, key = int(number), snake_case(class_name)
        variables = layer.variables.item(container, index, f"{key}_{index}" if index else key)
    else:
        variables = layer.variables.child(attribute)
    return Layer(
        class_name=class_name,
        name=attribute,
        module="keras.layers",
        config={"name": attribute, **config},
        variables=variables,
        owner=f"{layer.owner}: {attribute} ({class_name})",
        calls=[([], {})],
    )


@dataclass
class MappingApplier:
    """How layers are applied that somebody says the ops of.

    Args:
        builder: where the nodes go.
        called: what becomes of a call of a layer inside.
    """

    builder: GraphBuilder
    called: Called
    readers: dict[str, ClassReader] = field(default_factory=dict)
    """By what errors call a layer: who read it."""
    _shared: dict[int, Shared] = field(default_factory=dict)

    def notes(self, owner: str) -> list[str]:
        """That layers were read on somebody's word, a line for each function; ``owner`` is the model."""
        by_function: dict[str, list[str]] = {}
        for layer, reader in self.readers.items():
            by_function.setdefault(described(reader.function), []).append(layer.removeprefix(f"{owner}: "))
        return [
            f"{', '.join(layers)}: read as {function} says, not compared with the code of the class"
            for function, layers in by_function.items()
        ]

    def call(
        self, layer: Layer, name: str, arguments: Sequence[Any], options: Mapping[str, Any]
    ) -> list[KerasTensor]:
        """What a call of a layer gives.

        Raises:
            InputError: the function that reads it fails.
            WeightError: it does not read all weights of the layer.
        """
        reader = layer.mapping
        assert reader is not None
        shared = self._shared.setdefault(id(layer.config), Shared())
        self.readers[layer.owner] = reader
        with named_errors(layer.owner, reader.function):
            own = MappedLayer(layer, name, arguments, options, self.builder, self.called, shared)
            outputs = own.outputs(reader.function(own))
            count, read = layer.variables.count(), sum(shared.numbers.values())
            if count != read:
                raise WeightError(f"reads {read:,} of the {count:,} numbers of its weights")
        return outputs
