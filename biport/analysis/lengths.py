"""How long a sequence has to be for a model to be defined over it.

Found by asking the ops themselves, with numbers in place of the letters of time; and checked, in the same
words, by whatever runs a model without its graph.
"""

from __future__ import annotations

import ast
import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from biport.errors import GraphError, InputError
from biport.graph import Graph, Node, Value
from biport.ops import Dim, Tensor
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


def check_steps(values: Sequence[Value], needed: Mapping[str, int], arrays: Sequence[np.ndarray]) -> None:
    """Refuse inputs that are too short for the model.

    Args:
        values: what the inputs are.
        needed: `needed_steps` and `needed_lengths` of the model.
        arrays: one an input.

    Raises:
        InputError: an input, or a length made of several, has too few steps.
    """
    for value, array in zip(values, arrays, strict=True):
        least = needed.get(value.name, 0)
        if array.ndim > 1 and array.shape[1] < least:
            given = f"{array.shape[1]} time steps (T = {array.shape[1]})"
            raise InputError(
                f"input {value.name!r}: the model is not defined over {given}; it needs {least} or more"
            )
    sizes = letters(values, arrays)
    for expression, least in needed.items():
        steps = None if expression.isidentifier() else length(expression, sizes)
        if steps is not None and steps < least:
            shown = ", ".join(f"{letter} = {size}" for letter, size in sizes.items() if letter != "N")
            raise InputError(
                f"the model is not defined over {expression} = {steps} time steps ({shown}); "
                f"it needs {least} or more"
            )


def letters(values: Sequence[Value], arrays: Sequence[np.ndarray]) -> dict[Dim, int]:
    """What each letter stands for; one that stands for two sizes is left out."""
    sizes: dict[Dim, set[int]] = {}
    for value, array in zip(values, arrays, strict=True):
        for dim, size in zip(value.shape, array.shape, strict=True):
            if isinstance(dim, str):
                sizes.setdefault(dim, set()).add(size)
    return {dim: given.pop() for dim, given in sizes.items() if len(given) == 1}


def length(expression: str, sizes: Mapping[Dim, int]) -> int | None:
    """The length for these sizes of the letters; ``None`` where that cannot be told."""
    try:
        return _value(ast.parse(expression, mode="eval").body, sizes)
    except (SyntaxError, KeyError, ZeroDivisionError):
        return None


def _value(node: ast.expr, sizes: Mapping[Dim, int]) -> int:
    match node:
        case ast.Name(name):
            return sizes[name]
        case ast.Constant(int(number)):
            return number
        case ast.BinOp(left, ast.Add(), right):
            return _value(left, sizes) + _value(right, sizes)
        case ast.BinOp(left, ast.Sub(), right):
            # No length falls below 0, see `biport.ops.Cropping1D`.
            return max(_value(left, sizes) - _value(right, sizes), 0)
        case ast.BinOp(left, ast.Mult(), right):
            return _value(left, sizes) * _value(right, sizes)
        case ast.BinOp(left, ast.Div() | ast.FloorDiv(), right):
            return _value(left, sizes) // _value(right, sizes)
    raise KeyError(ast.dump(node))
