"""The live model, run beside the graph that was recorded from it: a difference raises."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from biport.compare.cases import PATTERNS, Batches, random_cases
from biport.compare.difference import largest_difference
from biport.errors import BiportError, InputError, UnsupportedError
from biport.graph import Graph
from keras_side.in_float32 import in_float32
from keras_side.inference import call
from keras_side.recording.custom import is_custom, paths
from keras_side.recording.fault import refusal
from keras_side.recording.put_back import put_back
from keras_side.stateful import stateful_run

ALLOWED = 1e-4
"""Of the largest number of an output: rounding to float32 is far below, a wrong meaning far above."""
BATCHES: Batches = {"7 steps": (len(PATTERNS), 7, PATTERNS), "4 steps": (3, 4, ("full", "left", "holes"))}
"""N, T and the patterns of the rows, of two sizes."""


def check_recorded(model: Any, graph: Graph, owner: str) -> None:
    """Compare a graph with the model that it was recorded from, at two sizes and under every mask pattern.

    A model of half precision is asked in float32, which it was read as.

    Raises:
        UnsupportedError: an output differs, or the model computes something else when it is called again.
    """
    for case, arrays in random_cases(graph, batches=BATCHES).items():
        one, two = _twice(model, graph, arrays, owner)
        if not all(np.array_equal(a, b, equal_nan=True) for a, b in zip(one, two, strict=True)):
            supported = "code that computes the same again: no random numbers, no state kept between calls"
            at_fault = f"{owner}{_that_changes(model, arrays)}"
            raise UnsupportedError(at_fault, "call", "other numbers at every call", supported)
        _check_outputs(graph, arrays, one, owner, case)


def _check_outputs(
    graph: Graph, arrays: Sequence[np.ndarray], wanted: Sequence[np.ndarray], owner: str, case: str
) -> None:
    """Compare what the model gives with the oracle, in float64 or else in float32.

    A score less 1e9, of which float32 keeps nothing, is no number that float64 has.
    """
    problems = []
    for dtype in ("float64", "float32"):
        problem = _difference(graph, _oracle(graph, arrays, owner, dtype), wanted, owner, case)
        if problem is None:
            return
        problems.append(problem)
    raise problems[0]


def _difference(
    graph: Graph, given: Sequence[np.ndarray], wanted: Sequence[np.ndarray], owner: str, case: str
) -> UnsupportedError | None:
    for name, one, two in zip(graph.outputs, given, wanted, strict=True):
        difference = largest_difference(one, two)
        if difference is None or difference > ALLOWED:
            shown = "another shape" if one.shape != two.shape else f"off by {difference}"
            supported = "code that computes for every input what it does for symbolic tensors"
            return UnsupportedError(owner, f"output {name} over {case}", shown, supported)
    return None


def _oracle(graph: Graph, arrays: Sequence[np.ndarray], owner: str, dtype: str) -> list[np.ndarray]:
    from biport import reference

    try:
        return reference.run(graph, arrays, dtype)
    except (InputError, ValueError) as error:
        shapes = ", ".join(str(array.shape) for array in arrays)
        supported = "code that takes every size for what it is"
        raise UnsupportedError(owner, f"call over {shapes}", str(error), supported) from error


def _that_changes(model: Any, arrays: Sequence[np.ndarray]) -> str:
    """The first custom layer that gives something else when it is called again."""
    keras = sys.modules["keras"]
    gave: list[tuple[str, list[Any]]] = []

    def noted(layer: Any, path: str, own: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        outputs = own(*arguments, **options)
        flat = [one for one in keras.tree.flatten(outputs) if one is not None]
        gave.append(
            (f": layer {path!r} ({type(layer).__name__})", [keras.ops.convert_to_numpy(x) for x in flat])
        )
        return outputs

    with put_back(model):
        named = paths(model)
        for layer in model._flatten_layers(include_self=False):
            if id(layer) in named and is_custom(layer):
                vars(layer)["call"] = functools.partial(noted, layer, named[id(layer)], layer.call)
        for _ in range(2):
            call(model, arrays)
    first, again = gave[: len(gave) // 2], gave[len(gave) // 2 :]
    for (name, one), (_, two) in zip(first, again, strict=True):
        if not all(np.array_equal(a, b, equal_nan=True) for a, b in zip(one, two, strict=True)):
            return name
    return ""


def _twice(model: Any, graph: Graph, arrays: Sequence[np.ndarray], owner: str) -> list[list[np.ndarray]]:
    """What a model gives when it is called, and when it is called again."""
    keras = sys.modules["keras"]

    def run(arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        return [np.asarray(keras.ops.convert_to_numpy(output)) for output in call(model, arrays)]

    kept = stateful_run(model, graph)
    try:
        with in_float32(model):
            return [run(arrays) if kept is None else kept.run(run, arrays) for _ in range(2)]
    except BiportError:
        raise
    except Exception as error:  # A user's code may fail in any way.
        raise refusal(owner, model, error) from error
