"""Rules of what was stacked: a stack that is taken apart, turned or flattened is never made."""

from __future__ import annotations

from collections.abc import Sequence

from biport import ops
from biport.graph import Node
from biport.ops.shaping import WHOLE
from biport.rewrite.simplify.traversal import Rule, Traversal


def position(node: Node) -> tuple[int, int] | None:
    """The axis and the position of ``x[:, :, 2]``, an index that takes one axis away and no more."""
    taken = _taken(node)
    return None if taken is None or not isinstance(taken[1], int) else (taken[0], taken[1])


def _taken(node: Node) -> tuple[int, object] | None:
    """The axis and the item of a slice along that axis alone."""
    if not isinstance(node.op, ops.Slice) or None in node.op.items:
        return None
    wanted = [axis for axis, item in enumerate(node.op.items) if item != WHOLE]
    return (wanted[0], node.op.items[wanted[0]]) if len(wanted) == 1 else None


def _stack(simplifier: Traversal, value: str) -> tuple[Node, int] | None:
    """What made a stack, and the axis of it, counted from the first."""
    node = simplifier.producer(value, ops.Stack)
    if node is None:
        return None
    assert isinstance(node.op, ops.Stack)
    return node, node.op.axis % len(simplifier.tensors[value].shape)


def stack_of_one(simplifier: Traversal, node: Node) -> Node | None:
    """A stack of one value is that value with a new axis."""
    if isinstance(node.op, ops.Stack) and len(node.inputs) == 1:
        rank = len(simplifier.tensors[node.outputs[0]].shape)
        return Node(node.name, ops.ExpandDims(axes=(node.op.axis % rank,)), node.inputs, node.outputs)
    return None


def element_of_a_stack(simplifier: Traversal, node: Node) -> Sequence[str] | None:
    """A position along the axis that things were stacked on is one of them."""
    index = position(node)
    stack = _stack(simplifier, node.inputs[0]) if index else None
    if index is None or stack is None or stack[1] != index[0]:
        return None
    return [stack[0].inputs[index[1]]]


def element_of_one(simplifier: Traversal, node: Node) -> Sequence[str] | None:
    """The one position along a new axis is what there was before."""
    index = position(node)
    first = simplifier.producer(node.inputs[0], ops.ExpandDims) if index else None
    if index is None or first is None:
        return None
    assert isinstance(first.op, ops.ExpandDims)
    rank = len(simplifier.tensors[node.inputs[0]].shape)
    return first.inputs if [axis % rank for axis in first.op.axes] == [index[0]] else None


def part_of_a_stack(simplifier: Traversal, node: Node) -> Node | None:
    """A slice along the axis that things were stacked on is a stack of some of them."""
    taken = _taken(node)
    stack = _stack(simplifier, node.inputs[0]) if taken else None
    if taken is None or stack is None or stack[1] != taken[0] or not isinstance(taken[1], tuple):
        return None
    if not all(isinstance(bound, int | None) for bound in taken[1]):
        return None
    part = stack[0].inputs[slice(*taken[1])]
    return Node(node.name, stack[0].op, part, node.outputs) if part else None


def elements_of_a_stack(simplifier: Traversal, node: Node) -> Sequence[str] | None:
    """A stack that is taken apart is what was stacked."""
    stack = _stack(simplifier, node.inputs[0]) if isinstance(node.op, ops.Unstack) else None
    if stack is None:
        return None
    assert isinstance(node.op, ops.Unstack)
    same = node.op.axis % len(simplifier.tensors[node.inputs[0]].shape) == stack[1]
    return stack[0].inputs if same else None


def turned_stack(simplifier: Traversal, node: Node) -> Node | None:
    """A permutation that moves the axis of a stack alone is a stack along another; so with a new axis."""
    if not isinstance(node.op, ops.PermuteDims):
        return None
    first = simplifier.maker(node.inputs[0])
    if first is None or not isinstance(first.op, ops.Stack | ops.ExpandDims):
        return None
    one = first.op.axis if isinstance(first.op, ops.Stack) else first.op.axes[0]
    if isinstance(first.op, ops.ExpandDims) and len(first.op.axes) != 1:
        return None
    axis = one % len(node.op.axes)
    rest = [old for old in node.op.axes if old != axis]
    if rest != sorted(rest):
        return None
    new = node.op.axes.index(axis)
    op = ops.Stack(axis=new) if isinstance(first.op, ops.Stack) else ops.ExpandDims(axes=(new,))
    return Node(node.name, op, first.inputs, node.outputs)


def joined_stack(simplifier: Traversal, node: Node) -> Node | None:
    """A stack whose axis is joined with the next one is what was stacked, side by side."""
    if not isinstance(node.op, ops.ReshapeTo | ops.Flatten):
        return None
    stack = _stack(simplifier, node.inputs[0])
    if stack is None:
        return None
    (first, axis), shape = stack, list(simplifier.tensors[stack[0].inputs[0]].shape)
    if axis >= len(shape):
        return None
    shape[axis] = shape[axis] * len(first.inputs)
    if simplifier.tensors[node.outputs[0]].shape != tuple(shape):
        return None
    op = ops.Concatenate(axis=-1 if axis == len(shape) - 1 else axis)
    return Node(node.name, op, first.inputs, node.outputs)


def split_stack(simplifier: Traversal, node: Node) -> Node | None:
    """A stack whose axis is made two, as layers and directions, is a stack of stacks."""
    stack = _stack(simplifier, node.inputs[0]) if isinstance(node.op, ops.ReshapeTo) else None
    if stack is None:
        return None
    (first, axis), shape = stack, simplifier.tensors[node.outputs[0]].shape
    count = shape[axis] if axis + 1 < len(shape) else 0
    before = simplifier.tensors[node.inputs[0]].shape
    if not isinstance(count, int) or count < 1 or len(first.inputs) % count:
        return None
    size = len(first.inputs) // count
    if shape != (*before[:axis], count, size, *before[axis + 1 :]):
        return None
    op = ops.Stack(axis=axis)
    parts = [first.inputs[start : start + size] for start in range(0, len(first.inputs), size)]
    inner = tuple(simplifier.insert(op, part, f"{node.name}.stack") for part in parts)
    return Node(node.name, op, inner, node.outputs)


RULES: Sequence[Rule] = (
    stack_of_one,
    element_of_a_stack,
    element_of_one,
    part_of_a_stack,
    elements_of_a_stack,
    turned_stack,
    joined_stack,
    split_stack,
)
