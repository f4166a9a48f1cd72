"""Rules of axes that are turned: something is done to what is turned, and they are turned back.

Torch has its channels in front of time, height and width, so that normalisation, activation, sums of branches
and the like come between two permutations. What acts on axes alike, or knows them by number, may as well act
before the first one: permutations are moved behind all that can do without them, until two of them meet and
are one, or none.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from biport import ops
from biport.dims import Dim
from biport.graph import Node
from biport.ops import Op
from biport.ops.activation import OVER_FEATURES, Pointwise
from biport.ops.merge import Merge
from biport.ops.pooling import GLOBAL_MAXIMA, GLOBAL_MEANS
from biport.ops.shape import ZERO_PADDINGS
from biport.ops.shaping import WHOLE
from biport.rewrite.simplify.traversal import Rule, Traversal

MERGES = (ops.Add, ops.Subtract, ops.Average, ops.Multiply, ops.Maximum, ops.Minimum)
NOISE = (ops.Dropout, ops.GaussianNoise, ops.GaussianDropout, ops.AlphaDropout)
ALIKE = (ops.Elementwise, ops.Where, ops.Cast, ops.Clip, Pointwise, *MERGES, *NOISE)
"""What does the same to every element."""
TURNED = ".turned"
"""Behind the name of a value that is to be turned, so as to be what went by that name."""

SOURCES = (ops.Parameter, ops.Constant, ops.Full)
MOVING = (ops.ExpandDims, ops.Squeeze, ops.ReshapeTo, ops.PermuteDims, ops.Cast)


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

    def of(self, op: Op) -> Op | None:
        """The op that does to what is turned what ``op`` does before; ``None`` where none is known."""
        if isinstance(op, ALIKE) or (isinstance(op, ops.Activation) and op.function not in OVER_FEATURES):
            return op
        match op:
            case ops.BatchNormalization(axis=axis) | ops.GroupNormalization(axis=axis):
                new = self.new(axis)
                # What is not the batch has to stay so, and a group is of all that is in a row.
                if new is None or new == 0 or (isinstance(op, ops.GroupNormalization) and self.new(0) != 0):
                    return None
                return dataclasses.replace(op, axis=self._from_end(new))
            case ops.Concatenate(axis=axis):
                new = self.new(axis)
                return None if new is None else dataclasses.replace(op, axis=self._from_end(new))
            case ops.Softmax(axis=int(axis)) | ops.LogSoftmax(axis=axis) | ops.CumulativeSum(axis=axis):
                return self._along(op, axis)
            case ops.Split(axis=axis) | ops.Repeat(axis=axis) | ops.Roll(axis=axis):
                return self._along(op, axis)
            case ops.Sort(axis=axis) | ops.ArgSort(axis=axis):
                return self._along(op, axis)
            case ops.Activation(function="softmax"):
                new = self.new(-1)
                return None if new is None else op if new == len(self.axes) - 1 else ops.Softmax(axis=new)
            case ops.Activation() | ops.Dense():
                return op if self.new(-1) == len(self.axes) - 1 > 0 else None
            case ops.Reduction(axes=axes, keepdims=True):
                known = self._all(axes)
                return None if known is None else dataclasses.replace(op, axes=known)
            case ops.ArgReduction(axis=axis, keepdims=True):
                return self._along(op, axis)
            case ops.LayerNormalization() | ops.UnitNormalization() | ops.RMSNormalization():
                return self._normalization(op)
            case ops.Flip(axes=axes):
                known = tuple(new for new in map(self.new, axes) if new is not None)
                return dataclasses.replace(op, axes=known)
            case ops.PReLU(alpha=alpha) if self.new(0) == 0 and len(self.axes) == self.rank:
                turned = alpha.transpose([axis - 1 for axis in self.axes[1:]])
                return dataclasses.replace(op, alpha=np.ascontiguousarray(turned))
            case ops.BroadcastTo(shape=shape) if len(shape) == self.rank == len(self.axes):
                return ops.BroadcastTo(shape=tuple(shape[axis] for axis in self.axes))
            case ops.Pad(widths=widths):
                return self._per_axis(op, "widths", widths, (0, 0))
            case ops.Tile(repetitions=counts) if len(counts) == self.rank:
                return self._per_axis(op, "repetitions", counts, 1)
            case ops.Slice(items=items) if all(isinstance(item, tuple) for item in items):
                return self._per_axis(op, "items", (*items, *[WHOLE] * (self.rank - len(items))), WHOLE)
        return None

    def _from_end(self, axis: int) -> int:
        return -1 if axis == len(self.axes) - 1 else axis

    def _along(self, op: Op, axis: int) -> Op | None:
        new = self.new(axis)
        return None if new is None else dataclasses.replace(op, axis=new)  # type: ignore[type-var]

    def _all(self, axes: Sequence[int]) -> tuple[int, ...] | None:
        known = tuple(new for new in map(self.new, axes) if new is not None)
        return known if len(known) == len(axes) else None

    def _normalization(
        self, op: ops.LayerNormalization | ops.UnitNormalization | ops.RMSNormalization
    ) -> Op | None:
        """Over the same axes, with the weights in the order that they are in."""
        known = self._all(op.axes)
        if known is None or 0 in known:
            return None
        if isinstance(op, ops.RMSNormalization):
            return op if known == tuple(range(len(self.axes) - len(known), len(self.axes))) else None
        order = sorted(range(len(known)), key=lambda number: known[number])
        axes = tuple(known[number] - len(self.axes) for number in order)
        if isinstance(op, ops.UnitNormalization):
            return dataclasses.replace(op, axes=axes)
        if order == sorted(order) and axes == op.axes:
            return op
        arrays = {name: getattr(op, name) for name in ("weight", "bias") if getattr(op, name) is not None}
        turned = {name: np.ascontiguousarray(array.transpose(order)) for name, array in arrays.items()}
        return dataclasses.replace(op, axes=axes, **turned)

    def _per_axis(self, op: Op, name: str, given: Sequence, nothing: object) -> Op | None:
        """An op with a setting for every axis, which says nothing of those that are lost."""
        lost = [axis for axis in range(self.rank) if axis not in self.axes]
        if any(given[axis] != nothing for axis in lost):
            return None
        return dataclasses.replace(op, **{name: tuple(given[axis] for axis in self.axes)})  # type: ignore[type-var]


@dataclass(frozen=True)
class Later:
    """An op that does to a value what another one does to its axes in another order.

    Args:
        op: the op.
        axes: what it gives is to be turned by, so as to be what the other one gives.
    """

    op: Op
    axes: tuple[int, ...]


def turned_later(simplifier: Traversal, node: Node) -> Node | Sequence[str] | None:
    """What is done to axes in another order is done before, and what comes of it is turned."""
    axes = _common_turn(simplifier, node)
    if axes is None or any(node.masks) or isinstance(node.op, ops.PermuteDims):
        return None
    later = _later(simplifier, node, axes)
    if later is None or (later.op is not node.op and node.op.weights() and not simplifier.owned(node)):
        return None
    sources = _turned_back(simplifier, node, axes)
    if sources is None:
        return None
    if later.axes == tuple(range(len(later.axes))):
        return Node(node.name, later.op, sources, node.outputs)
    values = tuple(simplifier.fresh(f"{output}{TURNED}") for output in node.outputs)
    simplifier.add(Node(node.name, later.op, sources, values))
    turn = ops.PermuteDims(axes=later.axes)
    if len(values) == 1:
        return Node(simplifier.fresh(f"{node.name}.permute_dims"), turn, values, node.outputs)
    for value, output in zip(values, node.outputs, strict=True):
        simplifier.append(simplifier.fresh(f"{node.name}.permute_dims"), turn, (value,), output)
    return node.outputs


def _common_turn(simplifier: Traversal, node: Node) -> tuple[int, ...] | None:
    """How the axes of the inputs were turned, where all that were turned were so alike."""
    makers = [simplifier.producer(source, ops.PermuteDims) for source in node.inputs]
    turns = {maker.op.axes for maker in makers if maker and isinstance(maker.op, ops.PermuteDims)}
    return turns.pop() if len(turns) == 1 else None


def _later(simplifier: Traversal, node: Node, axes: tuple[int, ...]) -> Later | None:
    """The op for what is not turned by ``axes``."""
    rank = len(axes)
    back = Turn(_inverse(axes), rank)
    op = node.op
    match op:
        case ops.Reduction(keepdims=False, axes=given) if given:
            whole = back.of(dataclasses.replace(op, keepdims=True))
            assert isinstance(whole, ops.Reduction)
            lost = {axis % rank for axis in given}
            plain = _pooling(simplifier, node, dataclasses.replace(whole, keepdims=False), rank)
            return Later(plain, _without(axes, lost))
        case ops.Reduction(keepdims=True):
            whole = back.of(op)
            assert isinstance(whole, ops.Reduction)
            return Later(_pooling(simplifier, node, whole, rank), axes)
        case ops.ArgReduction(keepdims=False, axis=axis):
            return Later(dataclasses.replace(op, axis=axes[axis]), _without(axes, {axis % rank}))
        case ops.Unstack(axis=axis):
            return Later(dataclasses.replace(op, axis=axes[axis]), _without(axes, {axis % rank}))
        case ops.Squeeze(axes=given):
            lost = {axis % rank for axis in given}
            return Later(ops.Squeeze(axes=tuple(sorted(axes[axis] for axis in lost))), _without(axes, lost))
        case ops.Slice(items=items) if None not in items:
            every = (*items, *[WHOLE] * (rank - len(items)))
            lost = {axis for axis, item in enumerate(every) if isinstance(item, int)}
            return Later(ops.Slice(items=tuple(every[axis] for axis in back.axes)), _without(axes, lost))
        case ops.ExpandDims(axes=given):
            return Later(op, _with(axes, {axis % (rank + len(given)) for axis in given}))
        case ops.Stack(axis=axis):
            return Later(op, _with(axes, {axis % (rank + 1)}))
        case ops.Embedding():
            return Later(op, (*axes, rank))
        case ops.Pad():
            whole = back.of(op)
            assert isinstance(whole, ops.Pad)
            return Later(_zero_padding(simplifier, node, whole), axes)
    turned = back.of(op)
    return None if turned is None else Later(turned, axes)


def _pooling(simplifier: Traversal, node: Node, op: ops.Reduction, rank: int) -> Op:
    """The layer that a mean or maximum over all between the batch and the last axis is."""
    floats = simplifier.tensors[node.inputs[0]].dtype in ops.FLOATS
    kinds = {"mean": GLOBAL_MEANS, "max": GLOBAL_MAXIMA}.get(op.function, {})
    between = {axis % rank for axis in op.axes} == set(range(1, rank - 1))
    if not floats or not between or rank - 2 not in kinds:
        return op
    return kinds[rank - 2](keepdims=op.keepdims)


def _zero_padding(simplifier: Traversal, node: Node, op: ops.Pad) -> Op:
    """The layer that zeros around all between the batch and the last axis are."""
    first, *between, last = op.widths
    widths = [width for pair in between for width in pair]
    fixed = all(isinstance(width, int) for width in widths) and {first, last} == {(0, 0)}
    floats = simplifier.tensors[node.inputs[0]].dtype in ops.FLOATS
    if not fixed or not floats or len(between) not in ZERO_PADDINGS or (op.mode, op.value) != ("constant", 0):
        return op
    return ZERO_PADDINGS[len(between)](padding=tuple(between))  # type: ignore[arg-type]


def _is_turn(node: Node | None, axes: Sequence[int]) -> bool:
    return node is not None and isinstance(node.op, ops.PermuteDims) and node.op.axes == tuple(axes)


def _inverse(axes: Sequence[int]) -> tuple[int, ...]:
    return tuple(axes.index(axis) for axis in range(len(axes)))


def _without(axes: Sequence[int], lost: set[int]) -> tuple[int, ...]:
    """A turn of what has lost some axes, counted in what is turned."""
    left = [axis for number, axis in enumerate(axes) if number not in lost]
    return tuple(sorted(left).index(axis) for axis in left)


def _with(axes: Sequence[int], new: set[int]) -> tuple[int, ...]:
    """A turn of what has new axes, which lie at the same places before and after it."""
    rank = len(axes) + len(new)
    others, left = [axis for axis in range(rank) if axis not in new], iter(axes)
    return tuple(axis if axis in new else others[next(left)] for axis in range(rank))


def _turned_back(simplifier: Traversal, node: Node, axes: tuple[int, ...]) -> tuple[str, ...] | None:
    """The inputs of a node before they are turned by ``axes``; ``None`` where that is a detour."""
    stretches = isinstance(node.op, ALIKE) and not isinstance(node.op, Merge)
    plans = [_plan(simplifier, source, axes, stretches) for source in node.inputs]
    known = [plan for plan in plans if plan is not None]
    if len(known) < len(plans):
        return None
    return tuple(_carried_out(simplifier, *plan) for plan in known)


def _plan(
    simplifier: Traversal, source: str, axes: tuple[int, ...], stretches: bool
) -> tuple[str, Sequence[Op]] | None:
    """A value, and what to do to it, so as to have ``source`` as it is before it is turned by ``axes``.

    Args:
        simplifier: what is there.
        source: the value.
        axes: the turn.
        stretches: whether values of fewer axes are stretched over others.
    """
    maker, shape = simplifier.maker(source), simplifier.tensors[source].shape
    if maker is not None and _is_turn(maker, axes):
        return maker.inputs[0], ()
    if not shape and stretches:
        return source, ()
    missing = len(axes) - len(shape)
    if missing < 0 or (missing and not stretches):
        return None
    back = _inverse(axes)
    wide = (*[1] * missing, *shape)
    turned = tuple(wide[axis] for axis in back)
    if maker is not None and isinstance(maker.op, ops.Full) and not missing:
        return "", (dataclasses.replace(maker.op, shape=turned),)
    order = [axis for axis in back if wide[axis] != 1]
    if order == sorted(order):
        return _with_ones_moved(simplifier, source, back, missing, turned)
    turn = ops.PermuteDims(axes=back)
    if _is_source(simplifier, source):
        return source, (ops.ExpandDims(axes=tuple(range(missing))), turn) if missing else (turn,)
    same = simplifier.like(Node("", turn, (source,)))
    return None if same is None or missing else (same.outputs[0], ())


def _with_ones_moved(
    simplifier: Traversal, source: str, back: Sequence[int], missing: int, turned: Sequence[Dim]
) -> tuple[str, Sequence[Op]]:
    """As `_plan`, of a value whose axes keep their order, but for those of size 1."""
    maker = simplifier.maker(source)
    if maker is not None and isinstance(maker.op, ops.ExpandDims) and not missing:
        new = {axis % len(turned) for axis in maker.op.axes}
        if (left := [axis for axis in back if axis not in new]) == sorted(left):
            axes = tuple(number for number, axis in enumerate(back) if axis in new)
            return maker.inputs[0], (ops.ExpandDims(axes=axes),)
    first = next((number for number, dim in enumerate(turned) if dim != 1), len(turned)) if missing else 0
    shape = tuple(turned[first:])
    return source, () if shape == simplifier.tensors[source].shape else (ops.ReshapeTo(shape=shape),)


def _is_source(simplifier: Traversal, value: str) -> bool:
    """Whether a value is made of parameters and constants alone, without being computed with."""
    maker = simplifier.maker(value)
    if maker is None or not isinstance(maker.op, (*SOURCES, *MOVING)):
        return False
    return isinstance(maker.op, SOURCES) or _is_source(simplifier, maker.inputs[0])


def _carried_out(simplifier: Traversal, source: str, plan: Sequence[Op]) -> str:
    for op in plan:
        inputs = (source,) if source else ()
        same = simplifier.like(Node("", op, inputs))
        source = (
            simplifier.insert(op, inputs, f"{source or 'full'}.back") if same is None else same.outputs[0]
        )
    return source


def turned_first(simplifier: Traversal, node: Node) -> Node | None:
    """What is made of axes that are turned and others, and turned back, is made of those and others turned.

    Only where that leaves fewer permutations: a state that was turned, beside a frame that was not, in front
    of a convolution.
    """
    first = simplifier.maker(node.inputs[0]) if isinstance(node.op, ops.PermuteDims) else None
    if first is None or len(first.inputs) < 2 or any(first.masks) or len(first.outputs) != 1:
        return None
    assert isinstance(node.op, ops.PermuteDims)
    op = Turn(node.op.axes, len(node.op.axes)).of(first.op)
    ranks = {len(simplifier.tensors[source].shape) for source in first.inputs}
    if op is None or ranks != {len(node.op.axes)} or first.op.weights():
        return None
    if simplifier.used(node.inputs[0]) != 1:
        return None
    back = _inverse(node.op.axes)
    plans = [_plan(simplifier, source, back, stretches=False) for source in first.inputs]
    gone = [source for source in first.inputs if _is_turn(simplifier.maker(source), back)]
    costly = sum(
        plan is None or (not plan[1] and plan[0] != source and source not in gone)
        for source, plan in zip(first.inputs, plans, strict=True)
    )
    if not gone or costly > sum(simplifier.used(source) == 1 for source in gone):
        return None
    sources = [
        _carried_out(simplifier, *((source, (node.op,)) if plan is None else plan))
        for source, plan in zip(first.inputs, plans, strict=True)
    ]
    simplifier.remove(first)
    return Node(first.name, op, tuple(sources), node.outputs)


def squeezed_back(simplifier: Traversal, node: Node) -> Sequence[str] | None:
    """A new axis that is lost again behind operations on each element was never there."""
    if not isinstance(node.op, ops.Squeeze) or node.outputs[0] in simplifier.outputs:
        return None
    value = node.inputs[0]
    rank = len(simplifier.tensors[value].shape)
    lost = {axis % rank for axis in node.op.axes}
    maker, turn = simplifier.maker(value), Turn(tuple(a for a in range(rank) if a not in lost), rank)
    if maker is None or simplifier.used(value) != 1 or not _can_squeeze(simplifier, maker, turn):
        return None
    return [_squeeze(simplifier, maker, turn)]


def _undoes(turn: Turn, op: Op) -> bool:
    """Whether the axes that are lost are those that this op makes."""
    if not isinstance(op, ops.ExpandDims):
        return False
    new = {axis % turn.rank for axis in op.axes}
    return turn.axes == tuple(axis for axis in range(turn.rank) if axis not in new)


def _can_squeeze(simplifier: Traversal, node: Node, turn: Turn) -> bool:
    """Whether a node, and all before it back to where the axes are made, can do without them."""
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
        if not _undoes(turn, maker.op) and (
            simplifier.used(source) != 1 or not _can_squeeze(simplifier, maker, turn)
        ):
            return False
        leaves += 1
    return leaves > 0


def _squeeze(simplifier: Traversal, node: Node, turn: Turn) -> str:
    """Have a node make its value without the axes that are lost."""
    sources = []
    for source in node.inputs:
        maker = simplifier.maker(source)
        if maker is None or not simplifier.tensors[source].shape:
            sources.append(source)
        else:
            sources.append(maker.inputs[0] if _undoes(turn, maker.op) else _squeeze(simplifier, maker, turn))
    op = turn.of(node.op)
    assert op is not None
    simplifier.change(node, op, tuple(sources))
    return node.outputs[0]


RULES: Sequence[Rule] = (turned_later, turned_first, squeezed_back)
