"""Windows over the axes between batch and features: their settings, and how many there are.

A setting has one number for each of these axes; a single number is meant for all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from biport.dims import Dim, length
from biport.errors import GraphError
from biport.ops.base import Op
from biport.ops.checks import TooShortError

Pairs: TypeAlias = tuple[tuple[int, int], ...]
"""Before and behind, for each axis."""

Padding: TypeAlias = str | Pairs
"""By a word, or how much before and behind for each axis."""


AXES = {1: ("steps",), 2: ("height", "width"), 3: ("depth", "height", "width")}
"""What the axes between batch and features are called, by how many there are."""


def extent(axis: str, size: int) -> str:
    """A size along an axis in words.

    Example:
        >>> extent("steps", 3), extent("height", 3)
        ('3 steps', 'a height of 3')
    """
    return f"{size} {axis}" if axis.endswith("s") else f"a {axis} of {size}"


def per_axis(owner: str, name: str, value: object, count: int) -> tuple[int, ...]:
    """A setting as one positive integer for each axis.

    Raises:
        GraphError: it is something else.

    Example:
        >>> per_axis("Conv2D", "strides", 2, 2), per_axis("Conv2D", "strides", [2, 1], 2)
        ((2, 2), (2, 1))
    """
    given = (value,) * count if isinstance(value, int) else value
    if isinstance(given, list | tuple) and len(given) == count and all(map(_positive, given)):
        return tuple(given)
    wanted = "a positive integer" if count == 1 else f"{count} positive integers"
    raise GraphError(f"{owner}: {name} should be {wanted}, found {value!r}")


def pairs(owner: str, name: str, value: object, count: int) -> Pairs:
    """A setting as how much before and how much behind for each axis; of one axis the pair alone will do.

    Raises:
        GraphError: it is something else.

    Example:
        >>> pairs("ZeroPadding1D", "padding", (1, 2), 1), pairs("Cropping2D", "cropping", [(1, 2), [0, 3]], 2)
        (((1, 2),), ((1, 2), (0, 3)))
    """
    given: Any = value if isinstance(value, list | tuple) else ()
    if count == 1 and _is_pair(given):
        given = (given,)
    if len(given) == count and all(map(_is_pair, given)):
        return tuple((pair[0], pair[1]) for pair in given)
    wanted = "two integers" if count == 1 else f"{count} pairs of integers"
    raise GraphError(f"{owner}: {name} should be {wanted} of 0 or more, found {value!r}")


def checked_padding(owner: str, value: object, words: Sequence[str], count: int) -> Padding:
    """A padding by one of ``words``, or as `pairs`; ``"valid"`` for pairs of nothing.

    Raises:
        GraphError: it is neither.
    """
    if isinstance(value, str):
        if value in words:
            return value
        raise GraphError(f"{owner}: padding should be one of {list(words)}, found {value!r}")
    known = pairs(owner, "padding", value, count)
    return "valid" if not any(map(any, known)) else known


def axis_padding(padding: Padding, axis: int) -> str | tuple[int, int]:
    """What a padding is along one of the axes that the windows have."""
    return padding if isinstance(padding, str) else padding[axis]


def window_counts(
    op: Op, sizes: Sequence[Dim], spans: Sequence[int], strides: Sequence[int], padding: Padding
) -> tuple[Dim, ...]:
    """How many windows there are along each axis, see `windows`.

    Raises:
        TooShortError: along one there is none.
    """
    axes = zip(sizes, spans, strides, AXES[len(sizes)], strict=True)
    return tuple(
        windows(op, steps, span, stride, axis_padding(padding, at), axis)
        for at, (steps, span, stride, axis) in enumerate(axes)
    )


def windows(
    op: Op, steps: Dim, span: int, stride: int, padding: str | tuple[int, int], axis: str = "steps"
) -> Dim:
    """How many windows of ``span`` steps there are, ``stride`` apart.

    With ``"valid"`` they lie within the sequence, with two numbers within it and as many steps before and
    behind it; else it is padded so that every ``stride`` steps have one.

    Raises:
        TooShortError: there is none.

    Example:
        >>> from biport import dims, ops
        >>> op, T = ops.MaxPooling1D(pool_size=3, strides=2), dims.letter("T")
        >>> windows(op, 8, 3, 2, "valid"), windows(op, 8, 3, 2, "same"), windows(op, T, 3, 2, "valid")
        (3, 4, (T-1)//2)
        >>> windows(op, 8, 3, 2, (1, 0)), windows(op, T, 3, 1, (1, 1)) == T
        (4, True)
    """
    need = 1
    if padding == "valid" or isinstance(padding, tuple):
        need = span - sum(padding if isinstance(padding, tuple) else ())
    if isinstance(steps, int):
        if steps < max(need, 1):
            needed = extent(axis, max(need, 1))
            raise TooShortError(f"{op.kind} needs {needed} or more, found {steps}", axis)
        return (steps - need) // stride + 1
    # One more for every stride beyond what the first one needs.
    return length(steps - need + stride) // stride


def _positive(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_pair(value: object) -> bool:
    if not isinstance(value, list | tuple) or len(value) != 2:
        return False
    return all(isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in value)
