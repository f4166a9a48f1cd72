"""How long a sequence has to be for a model to be defined over it.

Found by asking the ops themselves, with numbers in place of the letters of time; and checked, in the same
words, by whatever runs a model without its graph.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from biport import ops
from biport.dims import bound, letters_in, size
from biport.errors import GraphError, InputError
from biport.graph import Graph, Node, Value
from biport.inputs import batch_axis, carries, letters, time_axis
from biport.ops import Dim, Tensor
from biport.ops.checks import TooShortError

MOST_STEPS = 2**30


class Least(NamedTuple):
    """How large something has to be.

    Args:
        size: that, or larger.
        node: the node that refuses less, with its op, where one does.
        axis: what that op calls the axis, such as ``"height"``; empty where it has no name for it.
    """

    size: int
    node: str = ""
    axis: str = ""


def needed_steps(graph: Graph) -> dict[str, Least]:
    """The inputs that must have some number of steps whatever the others have, and that number."""
    steps_of: dict[str, Least] = {}
    for position, value in enumerate(graph.inputs):
        axis = time_axis(value.shape)
        if axis is None or isinstance(value.shape[axis], int):
            continue
        needed = _least(lambda steps, at=(position, axis): _too_short(graph, *at, steps))
        if needed is not None:
            steps_of[value.name] = needed
    return steps_of


def needed_lengths(graph: Graph) -> dict[str, Least]:
    """The lengths made of others, such as ``T+T_2``, that must be of some steps, and of how many.

    Likewise the letters of inputs that are neither the batch nor time, as the width of images may be.
    """
    steps_of = _needed_sizes(graph)
    for node in graph.nodes:
        tensors = [graph.tensors[name] for name in node.inputs]
        lengths = {tensor.shape[1] for tensor in tensors if len(tensor.shape) > 1}
        for length in lengths:
            if not isinstance(length, int) and not length.is_letter:
                needed = _least(lambda steps, at=(node, tensors, length): _refuses(*at, steps))
                _add(steps_of, str(length), needed)
    return steps_of


def _needed_sizes(graph: Graph) -> dict[str, Least]:
    sizes: dict[str, Least] = {}
    for position, value in enumerate(graph.inputs):
        others = set(range(len(value.shape))) - {batch_axis(value.shape), time_axis(value.shape)}
        for axis in sorted(others):
            dim = value.shape[axis]
            if isinstance(dim, int) or not dim.is_letter:
                continue
            needed = _least(lambda size, at=(position, axis): _too_short(graph, *at, size))
            _add(sizes, str(dim), needed)
    return sizes


def _add(sizes: dict[str, Least], name: str, needed: Least | None) -> None:
    if needed is not None and (name not in sizes or sizes[name].size < needed.size):
        sizes[name] = needed


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


def _least(shortage: Callable[[int], Least | None]) -> Least | None:
    """The smallest size without a shortage, and what refuses one less; ``None`` where nothing does."""
    refused = shortage(0)
    if refused is None:
        return None
    low, high = 0, 1
    while (short := shortage(high)) is not None and high < MOST_STEPS:
        refused, low, high = short, high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        if (short := shortage(middle)) is not None:
            refused, low = short, middle
        else:
            high = middle
    return refused._replace(size=high)


def _too_short(graph: Graph, position: int, at: int, steps: int) -> Least | None:
    """What refuses ``steps`` steps along axis ``at`` of the input at ``position``, if anything does."""
    value = graph.inputs[position]
    shape = (steps if axis == at else dim for axis, dim in enumerate(value.shape))
    fixed = dataclasses.replace(value, shape=tuple(shape))
    inputs = (*graph.inputs[:position], fixed, *graph.inputs[position + 1 :])
    # What an op's own settings name is of that size wherever it is named.
    named = letters_in(value.shape[at]) & frozenset().union(*(node.op.letters for node in graph.nodes))
    try:
        dataclasses.replace(graph, inputs=inputs).at(dict.fromkeys(named, steps))
    except TooShortError as error:
        return Least(steps, error.node, error.axis)
    except GraphError:
        return None
    return None


def _refuses(node: Node, tensors: list[Tensor], length: Dim, steps: int) -> Least | None:
    """The node, where its op refuses inputs of ``length`` where that is ``steps``."""
    shapes = [tuple(steps if dim == length else dim for dim in tensor.shape) for tensor in tensors]
    try:
        node.op.infer([Tensor(shape, tensor.dtype) for shape, tensor in zip(shapes, tensors, strict=True)])
    except TooShortError as error:
        return Least(steps, f"{node.name!r} ({node.op.kind})", error.axis)
    except GraphError:
        return None
    return None


def check_steps(values: Sequence[Value], needed: Mapping[str, Least], arrays: Sequence[np.ndarray]) -> None:
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
    names = {value.name for value in values}
    for value, array in zip(values, arrays, strict=True):
        least, axis = needed.get(value.name), time_axis(value.shape)
        if least is not None and axis is not None:
            _check_size(value, axis, array, least)
        for axis, dim in enumerate(value.shape):
            # An input may be called what reads as a length: 0, or T-2.
            if not isinstance(dim, int) and dim.is_letter and str(dim) not in names and str(dim) in needed:
                _check_size(value, axis, array, needed[str(dim)])
    sizes = letters(values, arrays)
    for expression, least in needed.items():
        size = None if expression in names | sizes.keys() else length(expression, sizes)
        if size is None or size >= least.size:
            continue
        shown = ", ".join(f"{letter} = {size}" for letter, size in sizes.items() if letter != "N")
        what = "time steps" if _is_time(least) else "elements"
        raise InputError(
            f"the model is not defined over {expression} = {size} {what} ({shown}); {_needs(least)}"
        )


def _check_size(value: Value, axis: int, array: np.ndarray, least: Least) -> None:
    size = array.shape[axis]
    if size >= least.size:
        return
    given = f"{size} elements along axis {axis} of shape {array.shape}"
    if _is_time(least) and axis == time_axis(value.shape) and (least.axis or len(value.shape) <= 3):
        given = f"{size} time steps ({value.shape[axis]} = {size})"
    raise InputError(f"input {value.name!r}: the model is not defined over {given}; {_needs(least)}")


def _is_time(least: Least) -> bool:
    """Whether it is of steps, or of an axis that its op has no name for."""
    return least.axis in ("", "steps")


def _needs(least: Least) -> str:
    what = "" if _is_time(least) else f"the {least.axis} of "
    return f"it needs {least.size} or more{f', for {what}node {least.node}' if least.node else ''}"


def length(expression: str, sizes: Mapping[str, Dim]) -> int | None:
    """The length for these sizes of the letters; ``None`` where that cannot be told."""
    try:
        steps = bound(size(expression), sizes)
    except GraphError:
        return None
    return steps if isinstance(steps, int) else None
