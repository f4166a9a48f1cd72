"""Live stateful models: run from states that are given, a few rows at a time, and left as they were."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from biport.analysis.rows import where_rows_meet
from biport.errors import InputError
from biport.graph import Graph
from biport.ops import Recurrent
from keras_side.recording.custom import paths


@dataclass(frozen=True)
class StatefulRun:
    """How a live stateful model runs as the function that its graph is.

    Args:
        graph: the model's, in which its states are inputs and outputs, or start from zeros.
        own: how many inputs the model has; those of the graph behind them are states.
        variables: every state that the model keeps.
        given: those that are inputs of the graph, in the order of these.
    """

    graph: Graph
    own: int
    variables: Sequence[Any]
    given: Sequence[Any]

    @property
    def rows(self) -> int:
        """How many rows the model takes."""
        return self.variables[0].shape[0]

    def run(
        self, call: Callable[[Sequence[np.ndarray]], Sequence[np.ndarray]], arrays: Sequence[np.ndarray]
    ) -> list[np.ndarray]:
        """The outputs of the graph.

        Args:
            call: runs the model on what it takes itself.
            arrays: one for each input of the graph.

        Raises:
            InputError: rows meet in the model, and there are more or fewer than it takes.
        """
        N = len(arrays[0])
        parts = [self._part(call, part) for part in self.parts(arrays)]
        return [self.joined(list(outputs), N) for outputs in zip(*parts, strict=True)]

    def parts(self, arrays: Sequence[np.ndarray]) -> Iterator[list[np.ndarray]]:
        """As many rows at a time as the model takes; the last ones are filled up with the last row.

        Raises:
            InputError: as `run`.
        """
        N = len(arrays[0])
        mixer = None if self.rows == N else where_rows_meet(self.graph)
        if mixer is not None:
            raise InputError(f"a stateful model of {self.rows} rows, which meet in {mixer.name!r}, found {N}")
        for first in range(0, N, self.rows):
            at = np.minimum(np.arange(first, first + self.rows), N - 1)
            yield [array[at] for array in arrays]

    def joined(self, parts: Sequence[np.ndarray], N: int) -> np.ndarray:
        """What was computed for the `parts` of N rows, of all rows."""
        of_rows = all(part.ndim and len(part) == self.rows for part in parts)
        return np.concatenate(parts)[:N] if of_rows else parts[0]

    def _part(
        self, call: Callable[[Sequence[np.ndarray]], Sequence[np.ndarray]], arrays: Sequence[np.ndarray]
    ) -> list[np.ndarray]:
        with self.started(arrays):
            outputs = [np.asarray(output) for output in call(arrays[: self.own])]
            return [*outputs, *map(_array, self.given)]

    @contextlib.contextmanager
    def started(self, arrays: Sequence[np.ndarray]) -> Iterator[None]:
        """Meanwhile the model is in the states among ``arrays``, one for each input of the graph."""
        before = [_array(variable) for variable in self.variables]
        try:
            for variable, array in zip(self.variables, before, strict=True):
                variable.assign(np.zeros_like(array))
            for variable, array in zip(self.given, arrays[self.own :], strict=True):
                variable.assign(array)
            yield
        finally:
            for variable, array in zip(self.variables, before, strict=True):
                variable.assign(array)


def stateful_run(model: Any, graph: Graph) -> StatefulRun | None:
    """How a live model of Keras 2 or 3 is run that keeps states; ``None`` where it keeps none."""
    kept = dict(_kept(model))
    if not kept:
        return None
    nodes = {node.name: node for node in graph.nodes if isinstance(node.op, Recurrent)}
    by_input = {
        name: variable
        for path, variables in kept.items()
        if path in nodes
        for name, variable in zip(nodes[path].inputs[1:], variables, strict=False)
        # What it is given by the model has another name.
        if name.startswith(f"{path}.")
    }
    given = [by_input[value.name] for value in graph.inputs if value.name in by_input]
    variables = [variable for states in kept.values() for variable in states]
    return StatefulRun(graph, len(graph.inputs) - len(given), variables, given)


def _kept(model: Any) -> Iterator[tuple[str, list[Any]]]:
    """The states of every stateful layer, by its path; those of both directions by the path of the layer."""
    for path, layer in _layers(model):
        directions = [getattr(layer, name, None) for name in ("forward_layer", "backward_layer")]
        scans = directions if all(directions) else [layer]
        states = [getattr(scan, "states", None) for scan in scans if getattr(scan, "stateful", False)]
        if flat := _flat(states):
            yield path, flat


def _layers(model: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The layers of a model by their paths."""
    keras = sys.modules.get("keras")
    if keras is not None and isinstance(model, keras.Model):
        named = paths(model)
        for layer in model._flatten_layers(include_self=False):
            if id(layer) in named:
                yield named[id(layer)], layer
        return
    for layer in model.layers:
        path = f"{prefix}{layer.name}"
        yield from _layers(layer, f"{path}.") if hasattr(layer, "layers") else [(path, layer)]


def _array(variable: Any) -> np.ndarray:
    """A copy of what it now is."""
    return np.asarray(variable).copy()


def _flat(states: Any) -> list[Any]:
    if isinstance(states, list | tuple):
        return [variable for part in states for variable in _flat(part)]
    return [] if states is None else [states]
