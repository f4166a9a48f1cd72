"""Sizes of tensors that a model computes with: integers of the graph whose expression is known.

Models of Keras 2 ask a tensor for its shape and reshape another one by parts of it. What they ask for is an
expression of sizes, so that it can be a setting of the op that takes it.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from typing import TypeAlias

import numpy as np

from biport import ops
from biport.dims import Dim, longest, product, shortest
from biport.errors import GraphError
from biport.ops import INTEGERS, NUMBERS, Op

Sizes: TypeAlias = "Dim | tuple[Dim, ...]"
"""Of a scalar one size, of a vector several."""

MAX_SIZES = 32
"""Of one vector: the axes of a tensor."""

ARITHMETIC: Mapping[str, Callable[[Dim, Dim], Dim]] = {
    "add": lambda a, b: a + b,
    "floor_divide": lambda a, b: a // b,
    "maximum": longest,
    "minimum": shortest,
    "multiply": lambda a, b: a * b,
    "subtract": lambda a, b: a - b,
}


COMPARISONS: Mapping[str, Callable[[int, int], bool]] = {
    "equal": operator.eq,
    "greater": operator.gt,
    "greater_equal": operator.ge,
    "less": operator.lt,
    "less_equal": operator.le,
    "not_equal": operator.ne,
}
"""Of sizes whose difference is a number whatever they are; 1 stands for true."""


def known_sizes(op: Op, inputs: Sequence[Sizes | None]) -> list[Sizes | None]:
    """The sizes that the outputs of an op are, where they are known.

    Example:
        >>> from biport.dims import letter
        >>> known_sizes(ops.Elementwise(function="multiply"), [letter("T"), 2])
        [T*2]
        >>> known_sizes(ops.Elementwise(function="exp"), [letter("T")])
        [None]
    """
    given = [sizes for sizes in inputs if sizes is not None]
    try:
        known = _known(op, given) if len(given) == len(inputs) else None
    except (GraphError, IndexError, TypeError, ValueError, ZeroDivisionError):
        known = None
    return [None] * op.output_count if known is None else known


def _known(op: Op, given: Sequence[Sizes]) -> list[Sizes | None] | None:
    match op, given:
        case ops.SizeOf(size=size), []:
            return [size]
        case ops.Constant(value=value), [] if value.dtype.name in INTEGERS and _is_short(value):
            return [tuple(value.tolist()) if value.ndim else value.item()]
        case ops.Cast(output_dtype=dtype), [sizes] if dtype in NUMBERS:
            # A whole number in floats is the same number; what else is computed of it has no known sizes.
            return [sizes]
        case ops.Identity(), [sizes]:
            return [sizes]
        case ops.ExpandDims(axes=[_]), [size] if not isinstance(size, tuple):
            return [(size,)]
        case ops.Squeeze(axes=[_]) | ops.ReshapeTo(shape=()), [(size,)]:
            return [size]
        case ops.ReshapeTo(shape=[int()]), [sizes]:
            return [sizes if isinstance(sizes, tuple) else (sizes,)]
        case ops.Take(), [tuple() as sizes, int(index)]:
            return [sizes[index]]
        case ops.Take(), [tuple() as sizes, tuple() as indices]:
            return [tuple(sizes[index] for index in indices)]  # type: ignore[index]
        case ops.Elementwise(function=function), [a, b] if function in ARITHMETIC:
            return [_computed(ARITHMETIC[function], a, b)]
        case ops.Elementwise(function=function), [a, b] if function in COMPARISONS:
            return [_computed(lambda one, two: _compared(function, one, two), a, b)]
        case ops.Where(), [condition, a, b]:
            kept = _computed(lambda where, size: where * size, condition, a)
            others = _computed(lambda where, size: (1 - where) * size, condition, b)
            return [_computed(lambda one, two: one + two, kept, others)]
        case ops.Full(shape=(int(count),), value=value), [] if (
            count <= MAX_SIZES and float(value).is_integer()
        ):
            return [(int(value),) * count]
        case ops.Stack(), sizes if not any(isinstance(size, tuple) for size in sizes):
            return [tuple(sizes)]  # type: ignore[arg-type]
        case ops.Unstack(), [tuple() as sizes]:
            return list(sizes)
        case ops.Concatenate(), sizes if sum(map(_count, sizes)) <= MAX_SIZES:
            return [reduce(lambda one, two: one + two, sizes)]  # type: ignore[operator]
        case ops.Slice(items=[int(index)]), [tuple() as sizes]:
            return [sizes[index]]
        case ops.Slice(items=[(None | int() as start, None | int() as stop, step)]), [tuple() as sizes]:
            return [sizes[start:stop:step]]
        case ops.Reduction(function="prod", axes=[_]), [tuple() as sizes]:
            return [product(sizes)]
    return None


def _is_short(value: np.ndarray) -> bool:
    return value.ndim < 2 and value.size <= MAX_SIZES


def _count(sizes: Sizes) -> int:
    return len(sizes) if isinstance(sizes, tuple) else 1


def _compared(function: str, one: Dim, two: Dim) -> Dim:
    """1 or 0.

    Raises:
        ValueError: it depends on what the sizes are.
    """
    difference = one - two
    if not isinstance(difference, int):
        raise ValueError
    return int(COMPARISONS[function](difference, 0))


def _computed(function: Callable[[Dim, Dim], Dim], a: Sizes, b: Sizes) -> Sizes:
    """Of scalars, or of vectors element by element."""
    if not isinstance(a, tuple) and not isinstance(b, tuple):
        return function(a, b)
    count = max(_count(a), _count(b))
    rows = [sizes if isinstance(sizes, tuple) else (sizes,) * count for sizes in (a, b)]
    return tuple(function(one, two) for one, two in zip(*rows, strict=True))
