"""Rules of axes that are turned and then joined or taken apart.

A shape that is given in row-major order is a row of parts, each of which is some axes of what there was, in
that order, made into others. Where a permutation leaves the axes of each part together, it may as well come
behind; where one behind leaves the new ones together, it may as well come before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from biport import ops
from biport.dims import Dim, product
from biport.graph import Node
from biport.rewrite.simplify.traversal import Rule, Traversal


class Part(NamedTuple):
    """Axes that hold the same elements.

    Args:
        before: axes of what is reshaped, one behind the other.
        after: axes of the result.
    """

    before: tuple[int, ...]
    after: tuple[int, ...]


def parts_of(before: Sequence[Dim], after: Sequence[Dim]) -> list[Part] | None:
    """What becomes of what when one shape is made another; ``None`` where axes are split otherwise.

    Example:
        >>> from biport.dims import sizes
        >>> N, T, W = sizes(("N", "T", "W"))
        >>> [tuple(part) for part in parts_of((N * T, 6, W), (N, T, 3, 2, W))]
        [((0,), (0, 1)), ((1,), (2, 3)), ((2,), (4,))]
        >>> parts_of((N, 4, 3), (N, 2, 6)) is None
        True
    """
    parts: list[Part] = []
    i = j = 0
    while i < len(before) or j < len(after):
        part = _next(before[i:], after[j:])
        if part is None:
            return None
        taken, given = part
        parts.append(Part(tuple(range(i, i + taken)), tuple(range(j, j + given))))
        i, j = i + taken, j + given
    return parts


def _next(before: Sequence[Dim], after: Sequence[Dim]) -> tuple[int, int] | None:
    """How many of the first axes are made how many."""
    if before and after and before[0] == after[0]:
        return 1, 1
    if before and before[0] == 1:
        return 1, 0
    if after and after[0] == 1:
        return 0, 1
    if before and after:
        for count in range(2, len(before) + 1):
            if product(before[:count]) == after[0]:
                return count, 1
        for count in range(2, len(after) + 1):
            if product(after[:count]) == before[0]:
                return 1, count
    return None


def turned_behind(simplifier: Traversal, node: Node) -> Node | None:
    """Axes that are turned, and joined or taken apart in the order they have before it, are turned behind."""
    turn = simplifier.producer(node.inputs[0], ops.PermuteDims) if _reshapes(node) else None
    if turn is None:
        return None
    assert isinstance(turn.op, ops.PermuteDims)
    axes, before = turn.op.axes, simplifier.tensors[turn.inputs[0]].shape
    after = simplifier.tensors[node.outputs[0]].shape
    if _in_order([axis for axis in axes if before[axis] != 1]):
        return Node(node.name, node.op, turn.inputs, node.outputs)
    parts = parts_of(simplifier.tensors[node.inputs[0]].shape, after)
    if parts is None:
        return None
    old = [tuple(axes[axis] for axis in part.before if before[axes[axis]] != 1) for part in parts]
    if not all(_together(taken, before) for taken in old):
        return None
    order = _order(old)
    placed = [axis for number in order for axis in parts[number].after]
    shape = tuple(after[axis] for axis in placed)
    value = turn.inputs[0]
    if shape != before:
        value = simplifier.insert(ops.ReshapeTo(shape=shape), turn.inputs, f"{node.name}.axes")
    back = tuple(placed.index(axis) for axis in range(len(placed)))
    return Node(node.name, ops.PermuteDims(axes=back), (value,), node.outputs)


def turned_in_front(simplifier: Traversal, node: Node) -> Node | None:
    """Axes that are turned, joined or taken apart, and turned again with what they became are turned once."""
    shaped = simplifier.maker(node.inputs[0]) if isinstance(node.op, ops.PermuteDims) else None
    if shaped is None or not _reshapes(shaped) or simplifier.used(node.inputs[0]) != 1:
        return None
    first = simplifier.producer(shaped.inputs[0], ops.PermuteDims)
    if first is None:
        return None
    assert isinstance(node.op, ops.PermuteDims)
    assert isinstance(first.op, ops.PermuteDims)
    between, after = (simplifier.tensors[name].shape for name in (shaped.inputs[0], node.outputs[0]))
    parts = parts_of(between, simplifier.tensors[node.inputs[0]].shape)
    if parts is None:
        return None
    new = [tuple(node.op.axes.index(axis) for axis in part.after) for part in parts]
    if not all(list(axes) == list(range(axes[0], axes[0] + len(axes))) for axes in new if axes):
        return None
    axes = tuple(first.op.axes[axis] for number in _order(new) for axis in parts[number].before)
    turned = simplifier.insert(ops.PermuteDims(axes=axes), first.inputs, f"{node.name}.axes")
    return Node(node.name, ops.ReshapeTo(shape=after), (turned,), node.outputs)


def _reshapes(node: Node) -> bool:
    return isinstance(node.op, ops.ReshapeTo | ops.Flatten)


def _in_order(axes: Sequence[int]) -> bool:
    return list(axes) == sorted(axes)


def _together(axes: Sequence[int], shape: Sequence[Dim]) -> bool:
    """Whether axes lie one behind the other, but for those of size 1 between them."""
    if not axes:
        return True
    between = [axis for axis in range(min(axes), max(axes) + 1) if shape[axis] != 1]
    return list(axes) == between


def _order(groups: Sequence[Sequence[int]]) -> list[int]:
    """The numbers of groups by where the first of each lies; one of nothing goes with that before it."""
    keys: list[int] = []
    for group in groups:
        keys.append(min(group) if group else keys[-1] if keys else -1)
    return sorted(range(len(groups)), key=lambda number: keys[number])


RULES: Sequence[Rule] = (turned_behind, turned_in_front)
