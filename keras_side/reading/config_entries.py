"""The entries of a serialised Keras model: its layers, where their weights are, and how they are called."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from biport import ops
from biport.errors import BiportError, FileError, UnsupportedError
from biport.registry import snake_case
from biport.text import Tokenizer
from keras_side.mapped import ClassReader, reader_of_class
from keras_side.reading.mask_expressions import is_operation
from keras_side.records import LayerRecord, ModelReader, Variables, check_name, serialized
from keras_side.typed_errors import named

MAX_LINE = 300
"""Characters of a line of code that errors name."""


@dataclass
class Layer:
    """One entry of a model's ``layers``."""

    class_name: str
    name: str
    module: str
    config: Mapping[str, Any]
    variables: Variables
    owner: str
    calls: list[tuple[list, dict]]
    has_own_variables: bool = True
    problem: UnsupportedError | None = None
    input_shape: Sequence[int | None] = ()
    line: str = ""
    """Of the code that called it, where that was recorded."""
    mapping: ClassReader | None = None
    reads_model: ModelReader | None = None
    _op: ops.Op | Tokenizer | None = None

    @property
    def record(self) -> LayerRecord:
        """The layer as the readers of `keras_side.ops` take it."""
        return LayerRecord(
            self.class_name,
            self.name,
            self.config,
            self.variables,
            self.owner,
            self.input_shape,
            self.reads_model,
        )

    def read(self, reader: Any) -> Any:
        """The op, or the tokeniser; one and the same for every call of the layer."""
        if self._op is None:
            try:
                self._op = reader(self.record)
            except UnsupportedError:
                raise
            except BiportError as error:
                raise type(error)(named(self.owner, str(error))) from error
        assert self._op is not None
        return self._op


def layer_of(record: LayerRecord) -> Layer:
    """A layer inside another one as a layer by itself."""
    return Layer(
        class_name=record.class_name,
        name=record.name,
        module="keras",
        config=record.config,
        variables=record.variables,
        owner=record.owner,
        calls=[],
        input_shape=record.input_shape,
        reads_model=record.reads_model,
    )


def flat_states(states: Any) -> list[Any]:
    """The states of a call in one list; a layer of several cells nests them."""
    if states is None:
        return []
    return [state for part in states for state in flat_states(part)] if isinstance(states, list) else [states]


def model_layers(
    owner: str, entries: Sequence, variables: Variables, reads_model: ModelReader | None = None
) -> Iterator[Layer]:
    """The layers of a model, each with where its weights are stored, and what reads models inside of them.

    Keras stores a layer's weights under its class name in snake case, numbered by class from the second
    on (keras/src/saving/saving_lib.py, ``_save_container_state``).
    """
    used: Counter[str] = Counter()
    index = 0
    sequential = not any(isinstance(entry, Mapping) and "inbound_nodes" in entry for entry in entries)
    for entry in entries:
        class_name, config, problem = _entry(owner, entry)
        module = str(entry.get("module") or "keras")
        # A layer of Keras 2 may be one of another class today.
        key = snake_case(str(entry.get("stored_class") or class_name))
        key, count = (f"{key}_{used[key]}" if used[key] else key), key
        name = config.get("name") or entry.get("name") or key
        check_name(owner, name)
        label = f"{owner}: layer {name!r} ({class_name})"
        stored = None
        if not is_operation(module) and not (sequential and class_name == "InputLayer"):
            stored = variables.layer(index, key, name)
            used[count] += 1
            index += 1
        yield Layer(
            class_name=class_name,
            name=name,
            module=module,
            config=config,
            variables=stored if stored is not None else variables,
            has_own_variables=stored is not None,
            owner=label,
            calls=_calls(label, entry),
            problem=problem,
            input_shape=built_shape(entry),
            line=str(entry.get("line") or "")[:MAX_LINE],
            mapping=reader_of_class(entry),
            reads_model=reads_model,
        )


def built_shape(entry: Mapping[str, Any]) -> Sequence[int | None]:
    """The shape of the one input that a layer was built for, or first called with; empty where none says."""
    match entry:
        case {"build_config": {"input_shape": [*shape]}}:
            pass
        case {"inbound_nodes": [{"args": [{"config": {"shape": [*shape]}}]}, *_]}:
            pass
        case _:
            return ()
    return shape if all(size is None or type(size) is int for size in shape) else ()


def _entry(owner: str, entry: object) -> tuple[str, Mapping[str, Any], UnsupportedError | None]:
    """Class name and configuration; a custom layer is kept, to be refused with all the others."""
    try:
        return *serialized(owner, entry), None
    except UnsupportedError as problem:
        assert isinstance(entry, Mapping)
        return entry["class_name"], entry["config"], problem


def _calls(owner: str, entry: Mapping[str, Any]) -> list[tuple[list, dict]]:
    nodes = entry.get("inbound_nodes", [])
    if not isinstance(nodes, list) or not all(
        isinstance(node, Mapping)
        and isinstance(node.get("args"), list)
        and isinstance(node.get("kwargs"), dict)
        for node in nodes
    ):
        raise FileError(f"{owner}: inbound_nodes are not written the way Keras 3 writes them")
    return [(node["args"], node["kwargs"]) for node in nodes]


def _history(item: object) -> tuple[str, int, int] | None:
    """``(layer, call, output)`` of a serialised tensor; ``None`` for anything else."""
    if not isinstance(item, Mapping) or item.get("class_name") != "__keras_tensor__":
        return None
    match item.get("config"):
        case {"keras_history": [str(name), int(call), int(output)]}:
            return name, call, output
    raise FileError(f"a tensor without a history: {str(item)[:80]}")


def own_call(key: tuple[str, int, int], layers: Mapping[str, Layer]) -> tuple[str, int, int]:
    """A model's output among the calls in its file.

    There, and only there, Keras counts the call that built a functional model inside it as its first
    (keras/src/models/functional.py, ``get_config``).
    """
    name, call, output = key
    inner = name in layers and layers[name].class_name in ("Functional", "Model")
    return name, call - inner, output


def needed(call: tuple[list, dict]) -> set[tuple[str, int]]:
    """The calls, ``(layer, call)``, a call waits for."""
    calls: set[tuple[str, int]] = set()
    stack: list[object] = [call[0], list(call[1].values())]
    while stack:
        item = stack.pop()
        if isinstance(item, list):
            stack.extend(item)
        elif (key := _history(item)) is not None:
            calls.add(key[:2])
    return calls


def size(call: tuple[list, dict]) -> int:
    """How many parts the arguments of a call have."""
    count = 0
    stack: list[object] = [call[0], list(call[1].values())]
    while stack:
        item = stack.pop()
        count += 1
        if isinstance(item, list):
            stack.extend(item)
    return count


def read_calls(call: tuple[list, dict]) -> list[tuple[str, int]]:
    """The calls, ``(layer, call)``, whose outputs a call reads: one for each of its tensors, in order."""
    return [key[:2] for key in tensors_of(call)]


def tensors_of(call: tuple[list, dict]) -> list[tuple[str, int, int]]:
    """The tensors, ``(layer, call, output)``, that a call reads, in order."""
    return list(_tensors_in([call[0], [call[1][key] for key in sorted(call[1])]]))


def _tensors_in(item: object) -> Iterator[tuple[str, int, int]]:
    if isinstance(item, list):
        for part in item:
            yield from _tensors_in(part)
    elif (key := _history(item)) is not None:
        yield key


def renumbered(layers: list[Layer]) -> list[Layer]:
    """The layers with calls counted in this model alone.

    Keras 3.0 and 3.1 left out calls that belong to another model, but went on counting them in the arguments
    of others (keras/src/models/functional.py of 3.1, ``serialize_node``). Keras loads no such file.
    """
    used: dict[str, set[int]] = {layer.name: set() for layer in layers}
    for layer in layers:
        for call in layer.calls:
            for name, index in needed(call):
                used.setdefault(name, set()).add(index)
    counts = {layer.name: len(layer.calls) for layer in layers if layer.class_name != "InputLayer"}
    positions = {
        name: {index: position for position, index in enumerate(sorted(indices))}
        for name, indices in used.items()
        if name in counts and len(indices) == counts[name] and max(indices, default=0) >= counts[name]
    }
    if positions:
        for layer in layers:
            layer.calls = [
                (_counted(args, positions), _counted(options, positions)) for args, options in layer.calls
            ]
    return layers


def _counted(item: Any, positions: Mapping[str, Mapping[int, int]]) -> Any:
    if isinstance(item, list):
        return [_counted(part, positions) for part in item]
    if (key := _history(item)) is not None:
        name, index, output = key
        history = [name, positions.get(name, {}).get(index, index), output]
        return {"class_name": "__keras_tensor__", "config": {"keras_history": history}}
    if isinstance(item, Mapping):
        return {key: _counted(part, positions) for key, part in item.items()}
    return item


def resolved(item: Any, find: Callable[[tuple[str, int, int]], Any]) -> Any:
    """An argument of a call with what ``find`` gives in place of every serialised tensor."""
    if isinstance(item, list):
        return [resolved(part, find) for part in item]
    key = _history(item)
    return item if key is None else find(key)


def histories(owner: str, data: object) -> Iterator[tuple[str, int, int]]:
    """``input_layers`` or ``output_layers``: one triple, a list of them, or a mapping, sorted by key."""
    match data:
        case [str(name), int(call), int(output)]:
            yield name, call, output
        case list():
            for part in data:
                yield from histories(owner, part)
        case dict():
            for key in sorted(data):
                yield from histories(owner, data[key])
        case _:
            raise FileError(f"{owner}: cannot tell the model's inputs or outputs from {str(data)[:80]!r}")
