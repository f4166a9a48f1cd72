"""How long a sequence has to be for a model to be defined over it.

Found by asking the ops themselves, with numbers in place of the letters of time; and checked, in the same
words, by whatever runs a model without its graph.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from biport import ops
from biport.dims import bound, letters_in, size
from biport.errors import GraphError, InputError
from biport.graph import Graph, Node, Value
from biport.inputs import batch_axis, carries, letters, time_axis
from biport.ops import Dim, Tensor
from biport.ops.checks import TooShortError

MOST_STEPS = 2**30


def needed_steps(graph: Graph) -> dict[str, int]:
    """The inputs that must have some number of steps whatever the others have, and that number."""
    steps_of = {}
    for position, value in enumerate(graph.inputs):
        axis = time_axis(value.shape)
        if axis is None or isinstance(value.shape[axis], int):
            continue
        needed = _fewest(lambda steps, at=(position, axis): _too_short(graph, *at, steps))
        if needed:
            steps_of[value.name] = needed
    return steps_of


def needed_lengths(graph: Graph) -> dict[str, int]:
    """The lengths made of others, such as ``T+T_2``, that must be of some steps, and of how many.

    Likewise the letters of inputs that are neither the batch nor time, as the width of images may be.
    """
    steps_of = _needed_sizes(graph)
    for node in graph.nodes:
        tensors = [graph.tensors[name] for name in node.inputs]
        lengths = {tensor.shape[1] for tensor in tensors if len(tensor.shape) > 1}
        for length in lengths:
            if not isinstance(length, int) and not length.is_letter:
                needed = _fewest(lambda steps, at=(node, tensors, length): _refuses(*at, steps))
                text = str(length)
                steps_of |= {text: max(needed, steps_of.get(text, 0))} if needed else {}
    return steps_of


def _needed_sizes(graph: Graph) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for position, value in enumerate(graph.inputs):
        others = set(range(len(value.shape))) - {batch_axis(value.shape), time_axis(value.shape)}
        for axis in sorted(others):
            dim = value.shape[axis]
            if isinstance(dim, int) or not dim.is_letter:
                continue
            needed = _fewest(lambda size, at=(position, axis): _too_short(graph, *at, size))
            sizes |= {str(dim): max(needed, sizes.get(str(dim), 0))} if needed else {}
    return sizes


def most_steps(graph: Graph) -> dict[str, int]:
    """The letters of sizes that are looked up in a table as positions, and how large they may be.

    Example:
        >>> from biport import ops
        >>> table = ops.Embedding(num_embeddings=9, embedding_dim=1, weight=np.ones((9, 1), "float32"))
        >>> nodes = Node("at", ops.Arange(stop="T"), ()), Node("y", table, ("at",))
        >>> most_steps(Graph((Value("x", ("N", "T"), "int32"),), nodes, ("y",)))
        {'T': 9}
    """
    most: dict[str, int] = {}
    positions: dict[str, str] = {}
    for node in graph.nodes:
        op = node.op
        if isinstance(op, ops.Arange) and op.start == 0 and op.step == 1 and not isinstance(op.stop, int):
            positions[node.name] = str(op.stop) if op.stop.is_letter else ""
        elif carries(op) and node.inputs and node.inputs[0] in positions:
            positions |= dict.fromkeys(node.outputs, positions[node.inputs[0]])
        elif isinstance(op, ops.Embedding) and (letter := positions.get(node.inputs[0])):
            most[letter] = min(op.num_embeddings, most.get(letter, op.num_embeddings))
    return most


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


def _too_short(graph: Graph, position: int, at: int, steps: int) -> bool:
    """Whether some op refuses ``steps`` steps along axis ``at`` of the input at ``position``."""
    value = graph.inputs[position]
    shape = (steps if axis == at else dim for axis, dim in enumerate(value.shape))
    fixed = dataclasses.replace(value, shape=tuple(shape))
    inputs = (*graph.inputs[:position], fixed, *graph.inputs[position + 1 :])
    # What an op's own settings name is of that size wherever it is named.
    named = letters_in(value.shape[at]) & frozenset().union(*(node.op.letters for node in graph.nodes))
    try:
        dataclasses.replace(graph, inputs=inputs).at(dict.fromkeys(named, steps))
    except GraphError as error:
        return isinstance(error.__cause__, TooShortError)
    return False


def _refuses(node: Node, tensors: list[Tensor], length: Dim, steps: int) -> bool:
    """Whether the node's op refuses inputs of ``length`` where that is ``steps``."""
    shapes = [tuple(steps if dim == length else dim for dim in tensor.shape) for tensor in tensors]
    try:
        node.op.infer([Tensor(shape, tensor.dtype) for shape, tensor in zip(shapes, tensors, strict=True)])
    except TooShortError:
        return True
    except GraphError:
        return False
    return False


def check_steps(values: Sequence[Value], needed: Mapping[str, int], arrays: Sequence[np.ndarray]) -> None:
    """Refuse inputs that are too short for the model.

    Args:
        values: what the inputs are.
        needed: `needed_steps` and `needed_lengths` of the model.
        arrays: one an input.

    Raises:
        InputError: an input, or a length made of several, has too few steps.
    """
    if not needed:
        return
    for value, array in zip(values, arrays, strict=True):
        least = needed.get(value.name, 0)
        axis = time_axis(value.shape)
        if axis is not None and array.shape[axis] < least:
            given = f"{array.shape[axis]} time steps (T = {array.shape[axis]})"
            raise InputError(
                f"input {value.name!r}: the model is not defined over {given}; it needs {least} or more"
            )
    sizes = letters(values, arrays)
    names = {value.name for value in values}
    for expression, least in needed.items():
        # An input may be called what reads as a length: 0, or T-2.
        steps = None if expression in names else length(expression, sizes)
        if steps is None or steps >= least:
            continue
        if expression in sizes:
            given = next(value.name for value in values if expression in map(str, value.shape))
            what = f"input {given!r}: the model is not defined over {expression} = {steps}"
            raise InputError(f"{what}; it needs {least} or more")
        shown = ", ".join(f"{letter} = {size}" for letter, size in sizes.items() if letter != "N")
        raise InputError(
            f"the model is not defined over {expression} = {steps} time steps ({shown}); "
            f"it needs {least} or more"
        )


def length(expression: str, sizes: Mapping[str, Dim]) -> int | None:
    """The length for these sizes of the letters; ``None`` where that cannot be told."""
    try:
        steps = bound(size(expression), sizes)
    except GraphError:
        return None
    return steps if isinstance(steps, int) else None
