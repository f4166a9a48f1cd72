"""How long a sequence has to be for a model to be defined over it.

Found by asking the ops themselves, with numbers in place of the letters of time.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from biport.errors import GraphError
from biport.graph import Graph, Node
from biport.ops import Tensor
from biport.ops.checks import TooShortError

MOST_STEPS = 2**30


def needed_steps(graph: Graph) -> dict[str, int]:
    """The inputs that must have some number of steps whatever the others have, and that number."""
    steps_of = {}
    for position, value in enumerate(graph.inputs):
        if len(value.shape) < 2 or not isinstance(value.shape[1], str):
            continue
        needed = _fewest(lambda steps, position=position: _too_short(graph, position, steps))
        if needed:
            steps_of[value.name] = needed
    return steps_of


def needed_lengths(graph: Graph) -> dict[str, int]:
    """The lengths made of others, such as ``T+T_2``, that must be of some steps, and of how many."""
    steps_of: dict[str, int] = {}
    for node in graph.nodes:
        tensors = [graph.tensors[name] for name in node.inputs]
        lengths = {tensor.shape[1] for tensor in tensors if len(tensor.shape) > 1}
        for length in lengths:
            if isinstance(length, str) and not length.isidentifier():
                needed = _fewest(lambda steps, at=(node, tensors, length): _refuses(*at, steps))
                steps_of |= {length: max(needed, steps_of.get(length, 0))} if needed else {}
    return steps_of


def _fewest(too_short: Callable[[int], bool]) -> int:
    """The smallest number of steps that is not too short."""
    if not too_short(0):
        return 0
    low, high = 0, 1
    while too_short(high) and high < MOST_STEPS:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if too_short(middle) else (low, middle)
    return high


def _too_short(graph: Graph, position: int, steps: int) -> bool:
    """Whether some op refuses ``steps`` steps of the input at ``position``."""
    value = graph.inputs[position]
    fixed = dataclasses.replace(value, shape=(value.shape[0], steps, *value.shape[2:]))
    try:
        Graph((*graph.inputs[:position], fixed, *graph.inputs[position + 1 :]), graph.nodes, graph.outputs)
    except GraphError as error:
        return isinstance(error.__cause__, TooShortError)
    return False


def _refuses(node: Node, tensors: list[Tensor], length: str, steps: int) -> bool:
    """Whether the node's op refuses inputs of ``length`` where that is ``steps``."""
    shapes = [tuple(steps if dim == length else dim for dim in tensor.shape) for tensor in tensors]
    try:
        node.op.infer([Tensor(shape, tensor.dtype) for shape, tensor in zip(shapes, tensors, strict=True)])
    except TooShortError:
        return True
    except GraphError:
        return False
    return False
