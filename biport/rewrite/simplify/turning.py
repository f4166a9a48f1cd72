"""Rules of axes that are turned, something is done to each element, and that are turned back.

Torch has its channels in front of time, so that convolution, normalisation and activation come between two
permutations. What acts on each element alike may as well act before the first one, and both are gone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from biport import ops
from biport.graph import Node
from biport.ops import Op
from biport.ops.activation import OVER_FEATURES, Pointwise
from biport.ops.merge import Merge
from biport.ops.shaping import WHOLE
from biport.rewrite.simplify.traversal import Rule, Traversal

MERGES = (ops.Add, ops.Subtract, ops.Average, ops.Multiply, ops.Maximum, ops.Minimum)
NOISE = (ops.Dropout, ops.GaussianNoise, ops.GaussianDropout, ops.AlphaDropout)
ALIKE = (ops.Elementwise, ops.Where, ops.Cast, ops.Clip, Pointwise, *MERGES, *NOISE)
"""What does the same to every element."""


@dataclass(frozen=True)
class Turn:
    """What is done to the axes of a value.

    Args:
        axes: for each axis of the output the input's.
        rank: of the input; an axis that is missing is of size 1 and is lost.
    """

    axes: tuple[int, ...]
    rank: int

    def new(self, axis: int) -> int | None:
        """Where an axis of the input is in the output."""
        axis %= self.rank
        return self.axes.index(axis) if axis in self.axes else None

    def undoes(self, op: Op) -> bool:
        """Whether behind this op it gives back what there was before."""
        if isinstance(op, ops.PermuteDims):
            return [op.axes[axis] for axis in self.axes] == list(range(self.rank))
        if not isinstance(op, ops.ExpandDims):
            return False
        lost = {axis % self.rank for axis in op.axes}
        return self.axes == tuple(axis for axis in range(self.rank) if axis not in lost)

    def of(self, op: Op) -> Op | None:
        """The op that does to what is turned what ``op`` does before; ``None`` where none is known."""
        if isinstance(op, ALIKE) or (isinstance(op, ops.Activation) and op.function not in OVER_FEATURES):
            return op
        match op:
            case ops.BatchNormalization(axis=axis) | ops.Concatenate(axis=axis):
                new = self.new(axis)
                if new is None or (new == 0 and isinstance(op, ops.BatchNormalization)):
                    return None
                return dataclasses.replace(op, axis=-1 if new == len(self.axes) - 1 else new)
            case ops.Softmax(axis=int(axis)) | ops.LogSoftmax(axis=axis) | ops.CumulativeSum(axis=axis):
                new = self.new(axis)
                return None if new is None else dataclasses.replace(op, axis=new)
            case ops.Activation(function="softmax"):
                new = self.new(-1)
                return None if new is None else op if new == len(self.axes) - 1 else ops.Softmax(axis=new)
            case ops.Reduction(axes=axes, keepdims=True):
                news = [self.new(axis) for axis in axes]
                known = tuple(new for new in news if new is not None)
                return dataclasses.replace(op, axes=known) if len(known) == len(news) else None
            case ops.Flip(axes=axes):
                known = tuple(new for new in map(self.new, axes) if new is not None)
                return dataclasses.replace(op, axes=known)
            case ops.Pad(widths=widths):
                return self._per_axis(op, "widths", widths, (0, 0))
            case ops.Slice(items=items) if all(isinstance(item, tuple) for item in items):
                return self._per_axis(op, "items", (*items, *[WHOLE] * (self.rank - len(items))), WHOLE)
        return None

    def _per_axis(self, op: Op, name: str, given: Sequence, nothing: object) -> Op | None:
        """An op with a setting for every axis, which says nothing of those that are lost."""
        lost = [axis for axis in range(self.rank) if axis not in self.axes]
        if any(given[axis] != nothing for axis in lost):
            return None
        return dataclasses.replace(op, **{name: tuple(given[axis] for axis in self.axes)})  # type: ignore[type-var]


def turned_back(simplifier: Traversal, node: Node) -> Sequence[str] | None:
    """Axes that are turned back behind operations on each element are not turned at all."""
    if not isinstance(node.op, ops.PermuteDims | ops.Squeeze) or node.outputs[0] in simplifier.outputs:
        return None
    value = node.inputs[0]
    rank = len(simplifier.tensors[value].shape)
    if isinstance(node.op, ops.PermuteDims):
        turn = Turn(node.op.axes, rank)
    else:
        lost = {axis % rank for axis in node.op.axes}
        turn = Turn(tuple(axis for axis in range(rank) if axis not in lost), rank)
    same = _turned(simplifier, value, turn)
    return None if same is None else [same]


def pooled_over_time(simplifier: Traversal, node: Node) -> Node | None:
    """The mean or maximum along the last axis of a turned ``(N, T, I)`` is pooling over time."""
    match node.op:
        case ops.Reduction(function="mean" | "max" as function, axes=(axis,), keepdims=keepdims):
            tensor = simplifier.tensors[node.inputs[0]]
        case _:
            return None
    if len(tensor.shape) != 3 or axis % 3 != 2 or tensor.dtype not in ops.FLOATS:
        return None
    same = _turned(simplifier, node.inputs[0], Turn((0, 2, 1), 3))
    if same is None:
        return None
    op = ops.GlobalAveragePooling1D() if function == "mean" else ops.GlobalMaxPooling1D()
    if not keepdims:
        return Node(node.name, op, (same,), node.outputs)
    pooled = simplifier.insert(op, (same,), f"{node.name}.pooling")
    return Node(node.name, ops.ExpandDims(axes=(2,)), (pooled,), node.outputs)


def _turned(simplifier: Traversal, value: str, turn: Turn) -> str | None:
    """A value as it was before its axes were turned, made so if it can be."""
    maker = simplifier.maker(value)
    if maker is None or turn.undoes(maker.op):
        return None if maker is None else maker.inputs[0]
    shared = simplifier.used(value) != 1
    if not _can_turn(simplifier, maker, turn):
        return None
    if not shared:
        return _turn(simplifier, maker, turn)
    # Others read it turned, as they expect it.
    first = next(iter(_leaves(simplifier, maker, turn)))
    name = simplifier.fresh(value)
    _turn(simplifier, dataclasses.replace(maker, outputs=(name,)), turn)
    leaf = simplifier.maker(first)
    assert leaf is not None
    simplifier.put_after(maker.name, leaf.op, name, value)
    return name


def _can_turn(simplifier: Traversal, node: Node, turn: Turn) -> bool:
    """Whether a node, and all before it back to where the axes were turned, can do without the turn."""
    op = turn.of(node.op)
    if op is None or any(node.masks) or len(node.outputs) != 1:
        return False
    if op is not node.op and node.op.weights() and not simplifier.owned(node):
        return False
    one_rank = not isinstance(node.op, Merge) or len(node.inputs) > 1
    leaves = 0
    for source in node.inputs:
        shape = simplifier.tensors[source].shape
        if not shape:
            continue
        maker = simplifier.maker(source)
        if maker is None or len(shape) != turn.rank or not one_rank:
            return False
        if turn.undoes(maker.op):
            leaves += 1
        elif simplifier.used(source) != 1 or not _can_turn(simplifier, maker, turn):
            return False
        else:
            leaves += 1
    return leaves > 0


def _leaves(simplifier: Traversal, node: Node, turn: Turn) -> Sequence[str]:
    """The turned values that a node is made of."""
    turned: list[str] = []
    for source in node.inputs:
        maker = simplifier.maker(source)
        if maker is not None and simplifier.tensors[source].shape:
            turned += [source] if turn.undoes(maker.op) else _leaves(simplifier, maker, turn)
    return turned


def _turn(simplifier: Traversal, node: Node, turn: Turn) -> str:
    """Have a node make its value without the turn."""
    sources = []
    for source in node.inputs:
        maker = simplifier.maker(source)
        if maker is None or not simplifier.tensors[source].shape:
            sources.append(source)
        else:
            sources.append(maker.inputs[0] if turn.undoes(maker.op) else _turn(simplifier, maker, turn))
    op = turn.of(node.op)
    assert op is not None
    simplifier.change(node, op, tuple(sources))
    return node.outputs[0]


RULES: Sequence[Rule] = (turned_back, pooled_over_time)
