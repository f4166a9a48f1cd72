"""How long a sequence has to be for a model to be defined over it."""

from __future__ import annotations

import dataclasses

from biport.errors import GraphError
from biport.graph import Graph
from biport.ops.base import TooShortError

MOST_STEPS = 2**30


def needed_steps(graph: Graph) -> dict[str, int]:
    """The inputs that must have some number of steps, and that number.

    Found by asking the ops themselves, with numbers in place of the letters of time.
    """
    found = {}
    for position, value in enumerate(graph.inputs):
        if len(value.shape) < 2 or not isinstance(value.shape[1], str):
            continue
        low, high = 0, 1
        while _too_short(graph, position, high) and high < MOST_STEPS:
            low, high = high, 2 * high
        if not _too_short(graph, position, 0):
            continue
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if _too_short(graph, position, middle) else (low, middle)
        found[value.name] = high
    return found


def _too_short(graph: Graph, position: int, steps: int) -> bool:
    """Whether some op refuses ``steps`` steps of the input at ``position``."""
    value = graph.inputs[position]
    fixed = dataclasses.replace(value, shape=(value.shape[0], steps, *value.shape[2:]))
    try:
        Graph((*graph.inputs[:position], fixed, *graph.inputs[position + 1 :]), graph.nodes, graph.outputs)
    except GraphError as error:
        return isinstance(error.__cause__, TooShortError)
    return False
