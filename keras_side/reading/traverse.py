"""Models traversed call by call, those inside of others laid flat, until all is nodes of one graph."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from biport.errors import FileError, UnsupportedError, joined, raise_unsupported
from keras_side.mapped import reader_of_class
from keras_side.masks import Mask
from keras_side.ops.recurrent import both_directions
from keras_side.ops.scan import steps_with_body
from keras_side.reading.apply_layer import LayerApplier, reader_of
from keras_side.reading.apply_mapping import MappingApplier
from keras_side.reading.apply_operation import OperationApplier
from keras_side.reading.call_order import run_order
from keras_side.reading.config_entries import (
    Layer,
    histories,
    layer_of,
    model_layers,
    needed,
    own_call,
    read_calls,
    renumbered,
    resolved,
    size,
)
from keras_side.reading.ctc import prediction
from keras_side.reading.every_step import TIME_DISTRIBUTED, StepsAsRows, only
from keras_side.reading.graph_builder import GraphBuilder, KerasTensor, OperationOutput
from keras_side.reading.mask_expressions import WITH_MASK, Unreadable, as_mask, is_operation
from keras_side.records import MODELS, ModelReader, Variables
from keras_side.registry import READERS
from keras_side.release import Release
from keras_side.unsupported import subclassed

MAX_DEPTH = 32
Output = KerasTensor | OperationOutput | Unreadable
CallResults = dict[tuple[str, int], Sequence[Output] | Unreadable]
"""By layer and call: what the call gave, or why it gave nothing."""


@dataclass
class Traversal:
    """The traversal of one model and the models inside it."""

    owner: str
    origin: Release
    in_order: bool = False
    """Whether it matters in which order Keras runs the layers; see `keras_side.reading.call_order`."""
    reads_model: ModelReader | None = None
    """What reads models that are no part of this one's graph, but inside of layers."""
    notes: list[str] = field(default_factory=list)
    """What was left out, for people."""
    _layers: dict[int, list[Layer]] = field(default_factory=dict)
    """By the identity of a model's configuration, so that a model called twice shares its weights."""
    _examined: set[int] = field(default_factory=set)
    """By the identity of a layer's configuration: those that were looked at without their input."""
    _depth: int = 0

    def __post_init__(self) -> None:
        self.builder = GraphBuilder(self.owner)
        self._applier = LayerApplier(self.builder, self.origin)
        self.stateful = self._applier.stateful
        self._operations = OperationApplier(self.builder, self.owner)
        self._steps = StepsAsRows(self.builder, self.origin)
        self.mappings = MappingApplier(self.builder, self._called)

    def model(
        self,
        class_name: str,
        config: Mapping[str, Any],
        variables: Variables,
        prefix: str,
        inputs: Sequence[KerasTensor] | None,
    ) -> list[KerasTensor]:
        """Read a model, the outermost one (``inputs`` is ``None``) or one used as a layer."""
        if self._depth == MAX_DEPTH:
            raise FileError(f"{self.owner}: models nested more than {MAX_DEPTH} deep")
        layers = config.get("layers")
        if class_name not in MODELS or not isinstance(layers, list):
            raise subclassed(self.owner, class_name)
        self.builder.count(len(layers))
        read_layers = self._sequential if class_name == "Sequential" else self._functional
        if id(config) not in self._layers:
            entries = model_layers(self.owner, layers, variables, self.reads_model)
            self._layers[id(config)] = renumbered(list(entries))
        self._depth += 1
        try:
            return read_layers(config, self._layers[id(config)], prefix, inputs)
        finally:
            self._depth -= 1

    def _sequential(
        self, _: Mapping, layers: list[Layer], prefix: str, inputs: Sequence[KerasTensor] | None
    ) -> list[KerasTensor]:
        tensors = None if inputs is None else list(inputs)
        for layer in layers:
            if layer.class_name == "InputLayer":
                tensors = [self._entrance(layer, None if tensors is None else tensors[0])]
            elif tensors is None:
                raise UnsupportedError(
                    f"{self.owner}: Sequential model",
                    "InputLayer",
                    None,
                    "models that were built before saving",
                )
            else:
                tensors = self._apply(layer, prefix + layer.name, tensors, None)
        if not tensors:
            raise FileError(f"{self.owner}: a Sequential model without layers")
        return tensors

    def _functional(
        self, config: Mapping, layers: list[Layer], prefix: str, inputs: Sequence[KerasTensor] | None
    ) -> list[KerasTensor]:
        results: CallResults = {}
        by_name = {layer.name: layer for layer in layers}
        if len(by_name) != len(layers):
            raise FileError(f"{self.owner}: two layers of one name")
        entries = self._histories(config.get("input_layers"))
        outputs = [own_call(key, by_name) for key in self._histories(config.get("output_layers"))]
        cut = prediction(by_name, entries, outputs) if inputs is None else None
        if cut is not None:
            entries, outputs = [*cut.inputs], [*cut.outputs]
            self.notes.append(cut.note)
        for position, (name, *_) in enumerate(entries):
            if name not in by_name or by_name[name].class_name != "InputLayer":
                raise FileError(f"{self.owner}: input {name!r} is not an InputLayer")
            layer = by_name[name]
            results[name, 0] = [self._entrance(layer, None if inputs is None else inputs[position])]
        calls = [(layer, index) for layer in layers for index in range(len(layer.calls))]
        if cut is not None:
            calls = [(layer, index) for layer, index in calls if (layer.name, index) not in cut.dropped]
        self.builder.count(sum(size(layer.calls[index]) for layer, index in calls))
        if self.in_order:
            parents = {(layer.name, index): read_calls(layer.calls[index]) for layer, index in calls}
            order = run_order(parents, [key[:2] for key in outputs])
            calls = [(by_name[name], index) for name, index in order]
        self._call_all(calls, results, prefix)
        return self._outputs(results, outputs)

    def _entrance(self, layer: Layer, given: KerasTensor | None) -> KerasTensor:
        """An InputLayer: an input of the outermost model, or what a model inside is given."""
        return self.builder.input(layer) if given is None else self.builder.enter(layer, given)

    def _histories(self, data: object) -> list[tuple[str, int, int]]:
        counted = []
        for history in histories(self.owner, data):
            self.builder.count(1)
            counted.append(history)
        return counted

    def _call_all(self, calls: list[tuple[Layer, int]], results: CallResults, prefix: str) -> None:
        """Make all calls of a model, in order, each once its arguments are there."""
        missing = [needed(layer.calls[index]) - results.keys() for layer, index in calls]
        waiting: dict[tuple[str, int], list[int]] = {}
        for number, lacking in enumerate(missing):
            for key in lacking:
                waiting.setdefault(key, []).append(number)
        ready = [number for number, lacking in enumerate(missing) if not lacking]
        while ready:
            layer, index = calls[heapq.heappop(ready)]
            results[layer.name, index] = self._call(layer, index, results, prefix)
            for number in waiting.pop((layer.name, index), ()):
                missing[number].discard((layer.name, index))
                if not missing[number]:
                    heapq.heappush(ready, number)
        if waiting:
            names = sorted({calls[number][0].name for numbers in waiting.values() for number in numbers})
            raise FileError(f"{self.owner}: layers that wait for each other or for nothing: {names[:20]}")

    def _output(self, results: CallResults, key: tuple[str, int, int]) -> Output:
        """One output of a call."""
        name, call, position = key
        outputs = results.get((name, call))
        if isinstance(outputs, Unreadable):
            return outputs
        if outputs is not None and len(outputs) == 1 and isinstance(outputs[0], Unreadable):
            # Why there are none stands for all of them.
            return outputs[0]
        if outputs is None or not 0 <= position < len(outputs):
            raise FileError(f"{self.owner}: there is no output {position} of call {call} of layer {name!r}")
        return outputs[position]

    def _outputs(self, results: CallResults, keys: Sequence[tuple[str, int, int]]) -> list[KerasTensor]:
        """The outputs of a model."""
        tensors, problems = [], []
        for key in keys:
            try:
                tensors.append(self.builder.data(self._output(results, key)))
            except UnsupportedError as problem:
                problems.append(problem)
        raise_unsupported(self.owner, problems)
        return tensors

    def _call(
        self, layer: Layer, index: int, results: CallResults, prefix: str
    ) -> Sequence[Output] | Unreadable:
        """The outputs of a call, or why there are none."""

        def find(key: tuple[str, int, int]) -> Output:
            return self._output(results, key)

        if is_operation(layer.module) and layer.class_name != WITH_MASK:
            return self._operations.operation(layer, index, find, prefix)
        arguments, options = layer.calls[index]
        arguments = [resolved(argument, find) for argument in arguments]
        if layer.class_name == WITH_MASK:
            return [self._with_mask(layer, *arguments)]
        options = {key: resolved(option, find) for key, option in options.items()}
        name = prefix + layer.name + (f"@{index}" if index else "")
        data = [*arguments, *(option for key, option in options.items() if "mask" not in key)]
        try:
            if behind := _problems(_flat(data)):
                raise joined(self.owner, behind)
            with self._applier.called(options.get("training")):
                return self._called(layer, name, arguments, options)
        except UnsupportedError as problem:
            problem.of_layer(layer.name, layer.class_name)
            self.builder.refuse(problem)
            self._examine(layer)
            return Unreadable(problem)

    def _with_mask(self, layer: Layer, x: Any, mask: Any) -> Output:
        """A tensor with a mask, or with none, hung on it."""
        try:
            value = self.builder.data(x).value
            return KerasTensor(value, as_mask(self.builder.symbol(mask), layer.owner))
        except UnsupportedError as problem:
            return Unreadable(problem)

    def _called(
        self, layer: Layer, name: str, arguments: list[Any], options: dict[str, Any]
    ) -> Sequence[KerasTensor]:
        """The outputs of a call of a layer or a model."""
        cell = layer.config.get("cell")
        if isinstance(cell, Mapping) and (reader := reader_of_class(cell)) is not None:
            self.mappings.readers[layer.owner] = reader
        if layer.mapping is not None:
            return self._mapped(layer, name, arguments, options)
        if layer.problem is not None:
            raise layer.problem
        if layer.class_name not in MODELS:
            reader_of(layer)
        if layer.class_name in READERS:
            reader = READERS.lookup(layer.class_name, layer.owner)
            if reader.calls is not None:
                call = reader.calls(layer.owner, arguments, options)
                return self._applier.attention(layer, name, reader, call)
        tensors, mask, states = self._applier.arguments(layer, arguments, options)
        return self._apply(layer, name, tensors, mask, states)

    def _mapped(
        self, layer: Layer, name: str, arguments: list[Any], options: dict[str, Any]
    ) -> Sequence[KerasTensor]:
        """The outputs of a call of a layer that somebody says the ops of."""
        mask = as_mask(self.builder.symbol(options.get("mask")), layer.owner)
        if mask is not None and arguments and not isinstance(arguments[0], list):
            first = self.builder.data(arguments[0])
            arguments = [first if first.mask == mask else KerasTensor(first.value, mask), *arguments[1:]]
        return self.mappings.call(layer, name, arguments, options)

    def _examine(self, layer: Layer) -> None:
        """Refuse all that is wrong with a layer itself, whose input may be unknown; once for its calls."""
        if id(layer.config) in self._examined:
            return
        self._examined.add(id(layer.config))
        if layer.class_name in MODELS and layer.problem is None:
            entries = layer.config.get("layers")
            inner = entries if isinstance(entries, list) else []
            self.builder.count(len(inner))
            for part in model_layers(self.owner, inner, layer.variables, self.reads_model):
                self._examine(part)
            return
        if is_operation(layer.module) or layer.class_name == "InputLayer" or layer.mapping is not None:
            return
        try:
            if layer.problem is not None:
                raise layer.problem
            if layer.class_name == TIME_DISTRIBUTED:
                self._examine(self._steps.inside(layer))
                return
            if layer.class_name == "Bidirectional" and steps_with_body(layer.record):
                for part in both_directions(layer.record)[:2]:
                    self._examine(layer_of(part))
                return
            layer.read(reader_of(layer))
        except UnsupportedError as problem:
            problem.of_layer(layer.name, layer.class_name)
            self.builder.refuse(problem)

    def _apply(
        self,
        layer: Layer,
        name: str,
        tensors: Sequence[KerasTensor],
        mask: Mask | None,
        states: Sequence[KerasTensor] = (),
    ) -> list[KerasTensor]:
        if layer.class_name in MODELS and layer.problem is None and layer.mapping is None:
            if mask is not None:
                tensors = [t if t.mask == mask else KerasTensor(t.value, mask) for t in tensors]
            return self.model(layer.class_name, layer.config, layer.variables, f"{name}.", tensors)
        try:
            if layer.mapping is not None:
                return list(self._mapped(layer, name, list(tensors), {"mask": mask}))
            if layer.class_name == TIME_DISTRIBUTED and layer.problem is None:
                x = only(layer, tensors)
                given = x if mask in (None, x.mask) else KerasTensor(x.value, mask)
                if not self._steps.is_one_op(layer, given.mask):
                    return [self._every_step(layer, name, given)]
            return self._applier.layer(layer, name, tensors, mask, states)
        except UnsupportedError as problem:
            if layer.calls:
                raise
            # In a Sequential model, go on as if the layer were not there, to find all that is wrong.
            problem.of_layer(layer.name, layer.class_name)
            self.builder.refuse(problem)
            return list(tensors)

    def _every_step(self, layer: Layer, name: str, x: KerasTensor) -> KerasTensor:
        """A TimeDistributed whose inside becomes nodes of the graph, ``name.inner``, shared by all calls."""
        inner, rows = self._steps.inside(layer), self._steps.rows(layer, name, x)
        if inner.class_name in MODELS:
            given = self.model(inner.class_name, inner.config, inner.variables, f"{name}.", [rows])
        else:
            given = self._apply(inner, f"{name}.{inner.name}", [rows], None)
        return self._steps.steps(layer, name, x, only(layer, given))


def _problems(items: Sequence[Any]) -> list[UnsupportedError]:
    """Why some of the items cannot be read."""
    return [item.problem for item in items if isinstance(item, Unreadable)]


def _flat(items: Sequence[Any]) -> list[Any]:
    """The items, those inside lists too."""
    return [part for item in items for part in (_flat(item) if isinstance(item, list) else [item])]
