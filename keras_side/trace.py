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
    for case, arrays in cases.items():
        listener = _Listener(model)
        with listener.listening():
            run(model, arrays, graph)
        values[case] = _named(graph, listener.heard)
        unmasked |= _unmasked(graph, listener.heard)
    remarks = dict.fromkeys(unmasked, ("was called without its mask",))
    seen = {name for case in values.values() for name in case}
    hidden = [node.name for node in graph.nodes if seen.isdisjoint(node.outputs)]
    notes = [f"not seen in Keras: {', '.join(hidden)}"] if hidden else []
    return Traced(values, remarks=remarks, notes=notes)


Heard = Mapping[str, tuple[Sequence[Any], Any]]


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


class _Listener:
    """Hears what the layers and operations of a model give as it runs, ``{name: (outputs, mask)}``."""

    def __init__(self, model: keras.Model) -> None:
        self.heard: dict[str, tuple[list[Any], Any]] = {}
        self._frames = [_Frame("", model)]
        self._layers = {id(layer): layer for layer in _inner(model)}

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

        own, inside = layer.call, isinstance(layer, keras.Model)

        @functools.wraps(own)
        def call(*arguments: Any, **options: Any) -> Any:
            name = self._frames[-1].name(layer)
            if not inside:
                outputs = own(*arguments, **options)
                self.heard[name] = keras.tree.flatten(outputs), options.get("mask")
                return outputs
            self._frames.append(_Frame(f"{name}.", layer))
            try:
                return own(*arguments, **options)
            finally:
                self._frames.pop()

        return call


def _inner(model: keras.Model) -> Iterator[Any]:
    """The layers and operations of a model and of the models inside."""
    import keras

    function = getattr(model, "_functional", None) or model
    for layer in getattr(function, "operations", model.layers):
        yield layer
        if isinstance(layer, keras.Model):
            yield from _inner(layer)
