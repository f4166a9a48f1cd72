"""The live model, run beside the graph that was recorded from it: a difference raises."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from biport.compare.cases import PATTERNS, Batches, random_cases
from biport.compare.difference import largest_difference
from biport.errors import BiportError, UnsupportedError
from biport.graph import Graph
from keras_side.in_float32 import in_float32
from keras_side.inference import call
from keras_side.recording.fault import refusal

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
    from biport import reference

    for case, arrays in random_cases(graph, batches=BATCHES).items():
        one, two = (_called(model, arrays, owner) for _ in range(2))
        if not all(np.array_equal(a, b, equal_nan=True) for a, b in zip(one, two, strict=True)):
            supported = "code that computes the same again: no random numbers, no state kept between calls"
            raise UnsupportedError(owner, "call", "other numbers at every call", supported)
        for name, wanted, actual in zip(graph.outputs, one, reference.run(graph, arrays), strict=True):
            difference = largest_difference(actual, wanted)
            if difference is None or difference > ALLOWED:
                shown = "another shape" if actual.shape != wanted.shape else f"off by {difference}"
                supported = "code that computes for every input what it does for symbolic tensors"
                raise UnsupportedError(owner, f"output {name} over {case}", shown, supported)


def _called(model: Any, arrays: Sequence[np.ndarray], owner: str) -> list[np.ndarray]:
    keras = sys.modules["keras"]
    try:
        with in_float32(model):
            return [np.asarray(keras.ops.convert_to_numpy(output)) for output in call(model, arrays)]
    except BiportError:
        raise
    except Exception as error:  # A user's code may fail in any way.
        raise refusal(owner, model, error) from error
