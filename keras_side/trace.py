"""What every layer of a live Keras model gives while the model runs."""

from __future__ import annotations

import contextlib
import functools
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from biport.graph import Graph
from biport.ops import Dim, MultiHeadAttention, same_dim
from keras_side.run import run
from keras_side.stateful import stateful_run

if TYPE_CHECKING:
    import keras

    from biport.compare.localize.traced import Cases, Traced, Values


def trace(model: keras.Model, cases: Cases, graph: Graph) -> Traced:
    """The output of every layer and operation that is a node of ``graph``, those of models inside included.

    The model itself is run, with the ``call`` of each listened to, so masks are those it really hands on.
    Of the masks those are seen that a layer was called with.

    Args:
        model: a live model; it is left as it is.
        cases: one array an input, by case.
        graph: the model's, as `keras_side.read` gives it.

    Raises:
        InputError: the inputs do not suit the model.
    """
    # To look at a file nothing of this is needed.
    from biport.compare.localize.traced import Traced

    values: dict[str, Values] = {}
    unmasked: set[str] = set()
    kept = stateful_run(model, graph)
    for case, arrays in cases.items():
        heard = [_heard(model, part, graph) for part in ([arrays] if kept is None else kept.parts(arrays))]
        named = [_named(graph, part) for part in heard]
        values[case] = named[0]
        if kept is not None:
            N = len(arrays[0])
            values[case] = {name: kept.joined([part[name] for part in named], N) for name in named[0]}
        unmasked |= _unmasked(graph, heard[0])
    remarks = dict.fromkeys(unmasked, ("was called without its mask",))
    seen = {name for case in values.values() for name in case}
    hidden = [node.name for node in graph.nodes if seen.isdisjoint(node.outputs)]
    notes = [f"not seen in Keras: {', '.join(hidden)}"] if hidden else []
    return Traced(values, remarks=remarks, notes=notes)


Heard = Mapping[str, tuple[Sequence[Any], Any]]


def _heard(model: keras.Model, arrays: Sequence[np.ndarray], graph: Graph) -> Heard:
    listener = _Listener(model)
    with listener.listening():
        run(model, arrays, graph)
    return listener.heard


def _named(graph: Graph, heard: Heard) -> Values:
    """The values of ``graph`` among what was heard; a mask is the one some layer was called with."""
    values: Values = {}
    for node in graph.nodes:
        if node.name not in heard:
            continue
        outputs, mask = heard[node.name]
        given = [_array(output) for output in outputs]
        # A layer whose last step alone is used may be a node that gives no other.
        if len(given) == len(node.outputs) and all(
            _fits(graph.tensors[name].shape, array) for name, array in zip(node.outputs, given, strict=True)
        ):
            values |= zip(node.outputs, given, strict=True)
        for wanted, seen in zip(node.masks, mask if isinstance(mask, list) else [mask], strict=False):
            if wanted is not None and seen is not None:
                values.setdefault(wanted, _array(seen))
    return values


def _unmasked(graph: Graph, heard: Heard) -> set[str]:
    # A layer of many heads is called with masks of other names, and looks for that of its queries itself.
    return {
        node.name
        for node in graph.nodes
        if node.masks and node.masks[0] is not None and node.name in heard and heard[node.name][1] is None
        if not isinstance(node.op, MultiHeadAttention)
    }


def _fits(shape: Sequence[Dim], array: np.ndarray) -> bool:
    return len(shape) == array.ndim and all(map(same_dim, shape, array.shape))


def _array(tensor: Any) -> np.ndarray:
    import keras

    return np.asarray(keras.ops.convert_to_numpy(tensor))


class _Frame:
    """One call of a model: its path, and which call of each of its layers comes next."""

    def __init__(self, path: str, model: keras.Model) -> None:
        self.path = path
        self._calls = _call_numbers(model)

    def name(self, layer: Any) -> str:
        """The graph's name of the call of ``layer`` that is now made."""
        waiting = self._calls.get(id(layer))
        number = waiting.pop(0) if waiting else 0
        return f"{self.path}{layer.name}" + (f"@{number}" if number else "")

    def inside(self, model: Any) -> str:
        """The path of the layers of ``model``, which is now called."""
        return f"{self.name(model)}."


class _Steps(_Frame):
    """One call of a TimeDistributed, which calls what is inside once a step."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._calls = {}

    def inside(self, model: Any) -> str:
        """The path of the layers of the model inside."""
        return self.path


def _call_numbers(model: Any) -> dict[int, list[int]]:
    """For each layer the numbers of its calls, as a configuration counts them, in the order they are run."""
    function = getattr(model, "_functional", None) or model
    by_depth = function._nodes_by_depth
    ordered = [node for depth in sorted(by_depth, reverse=True) for node in by_depth[depth]]
    # A layer may be called by other models as well; those calls do not count.
    members = {id(node) for node in ordered}
    numbers: dict[int, list[int]] = defaultdict(list)
    for node in ordered:
        own = [id(other) for other in node.operation._inbound_nodes if id(other) in members]
        numbers[id(node.operation)].append(own.index(id(node)))
    return numbers


Call = tuple[list[Any], Any]
"""The outputs of a call, and the mask it was made with."""


class _Listener:
    """Hears what the layers and operations of a model give as it runs."""

    def __init__(self, model: keras.Model) -> None:
        self._calls: dict[str, list[Call]] = defaultdict(list)
        self._frames = [_Frame("", model)]
        self._layers = {id(layer): layer for layer in _inner(model)}

    @property
    def heard(self) -> Heard:
        """``{name: (outputs, mask)}``."""
        return {name: calls[-1] for name, calls in self._calls.items()}

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Every layer's ``call`` reports here; on leaving, the layers are as they were."""
        # Into the instance's dictionary directly: Keras follows what is set as an attribute.
        wrapped = [layer for layer in self._layers.values() if "call" not in vars(layer)]
        for layer in wrapped:
            vars(layer)["call"] = self._reporting(layer)
        try:
            yield
        finally:
            for layer in wrapped:
                del vars(layer)["call"]

    def _reporting(self, layer: Any) -> Any:
        import keras

        own = layer.call

        @functools.wraps(own)
        def call(*arguments: Any, **options: Any) -> Any:
            if isinstance(layer, keras.Model):
                with self._within(_Frame(self._frames[-1].inside(layer), layer)):
                    return own(*arguments, **options)
            name = self._frames[-1].name(layer)
            if isinstance(layer, keras.layers.TimeDistributed):
                with self._within(_Steps(f"{name}.")), self._as_rows(len(arguments[0])):
                    outputs = own(*arguments, **options)
            else:
                outputs = own(*arguments, **options)
            self._calls[name].append((keras.tree.flatten(outputs), options.get("mask")))
            return outputs

        return call

    @contextlib.contextmanager
    def _within(self, frame: _Frame) -> Iterator[None]:
        self._frames.append(frame)
        try:
            yield
        finally:
            self._frames.pop()

    @contextlib.contextmanager
    def _as_rows(self, N: int) -> Iterator[None]:
        """Have what is heard of each step by itself, ``(N, ...)``, be of all of them, ``(N·T, ...)``."""
        import keras

        before = {name: len(calls) for name, calls in self._calls.items()}
        yield
        for name, calls in self._calls.items():
            steps = calls[before.get(name, 0) :]
            if steps:
                rows: Any = keras.tree.map_structure(functools.partial(_rows, N), *steps)
                calls[before.get(name, 0) :] = [rows]


def _rows(N: int, *steps: Any) -> Any:
    """The rows of each step, ``(N, ...)`` or so many for each of the N, row by row."""
    if any(step is None or not step.shape or step.shape[0] % N for step in steps):
        return steps[0]
    arrays = [_array(step) for step in steps]
    parts = [array.reshape(N, len(array) // N, *array.shape[1:]) for array in arrays]
    return np.stack(parts, axis=1).reshape(-1, *arrays[0].shape[1:])


def _inner(model: keras.Model) -> Iterator[Any]:
    """The layers and operations of a model, and those inside of them that are nodes of a graph too."""
    function = getattr(model, "_functional", None) or model
    for layer in getattr(function, "operations", model.layers):
        yield from _with_inner(layer)


def _with_inner(layer: Any) -> Iterator[Any]:
    import keras

    yield layer
    if isinstance(layer, keras.layers.TimeDistributed):
        yield from _with_inner(layer.layer)
    elif isinstance(layer, keras.Model):
        yield from _inner(layer)
