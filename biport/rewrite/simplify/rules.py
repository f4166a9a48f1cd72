"""The rules of `biport.rewrite.simplify`, each a function of a traversal and the next node."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from biport import ops
from biport.graph import Node
from biport.ops.shaping import WHOLE, Moving
from biport.reference.registry import REFERENCES
from biport.rewrite.simplify.stacks import position
from biport.rewrite.simplify.traversal import Rule, Traversal, is_small, outputs_count

EXACT = (ops.Cast, Moving)
"""Operations that give floats of constants without rounding; a graph may be cast to another dtype later."""


def constants(simplifier: Traversal, node: Node) -> Node | None:
    """What is made of constants alone is a constant, where no dtype rounds it."""
    if not isinstance(node.op, ops.TensorOperation) or len(node.outputs) != 1 or not node.inputs:
        return None
    if simplifier.tensors[node.outputs[0]].dtype in ops.FLOATS and not isinstance(node.op, EXACT):
        return None
    if node.op.letters or not is_small(simplifier.tensors[node.outputs[0]]):
        return None
    arrays = [simplifier.constant(name) for name in node.inputs]
    known = [array for array in arrays if array is not None]
    if len(known) < len(arrays):
        return None
    (result,) = REFERENCES.lookup(type(node.op), node.name)(node.op, known, [None] * len(known))
    if np.isnan(result).any():
        return None
    return Node(node.name, ops.Constant(value=np.array(result)), (), node.outputs)


def fixed_size(simplifier: Traversal, node: Node) -> Node | None:
    """A size that does not vary is a number."""
    if isinstance(node.op, ops.SizeOf) and not node.op.letters:
        (value,) = REFERENCES.lookup(ops.SizeOf, node.name)(node.op, [], [])
        return Node(node.name, ops.Constant(value=value), (), node.outputs)
    return None


def nothing_done(simplifier: Traversal, node: Node) -> Sequence[str] | None:
    """An operation that gives its input back."""
    match node.op:
        case ops.Cast(output_dtype=dtype):
            same = simplifier.tensors[node.inputs[0]].dtype == dtype
        case ops.ReshapeTo() | ops.BroadcastTo():
            same = simplifier.tensors[node.inputs[0]].shape == simplifier.tensors[node.outputs[0]].shape
        case ops.Flatten():
            same = len(simplifier.tensors[node.inputs[0]].shape) == 2
        case ops.PermuteDims(axes=axes):
            same = axes == tuple(range(len(axes)))
        case ops.Slice(items=items):
            same = all(item == WHOLE for item in items)
        case ops.Tile(repetitions=counts):
            same = len(counts) == len(simplifier.tensors[node.inputs[0]].shape) and set(counts) == {1}
        case ops.ExpandDims(axes=()) | ops.Squeeze(axes=()) | ops.Reduction(axes=()):
            same = not isinstance(node.op, ops.Reduction) or node.op.function in ("sum", "max", "min", "prod")
        case _:
            return None
    return node.inputs if same else None


def same_again(simplifier: Traversal, node: Node) -> Sequence[str] | None:
    """The same operation on the same values is made once."""
    if not isinstance(node.op, ops.TensorOperation) or isinstance(node.op, ops.Parameter):
        return None
    other = simplifier.like(node)
    return None if other is None else other.outputs


def permuted_twice(simplifier: Traversal, node: Node) -> Node | Sequence[str] | None:
    """Two permutations are one, or none."""
    if not isinstance(node.op, ops.PermuteDims):
        return None
    first = simplifier.producer(node.inputs[0], ops.PermuteDims)
    if first is None:
        return None
    assert isinstance(first.op, ops.PermuteDims)
    axes = tuple(first.op.axes[axis] for axis in node.op.axes)
    if axes == tuple(range(len(axes))):
        return first.inputs
    return Node(node.name, ops.PermuteDims(axes=axes), first.inputs, node.outputs)


def squeezed_reduction(simplifier: Traversal, node: Node) -> Node | None:
    """What goes over some axes and keeps them, of size 1, which are lost behind it."""
    first = simplifier.maker(node.inputs[0]) if isinstance(node.op, ops.Squeeze) else None
    if first is None or simplifier.used(node.inputs[0]) != 1 or not simplifier.owned(first):
        return None
    match first.op:
        case ops.Reduction(keepdims=True, axes=axes):
            over = axes
        case ops.ArgReduction(keepdims=True, axis=axis):
            over = (axis,)
        case ops.GlobalPooling(keepdims=True):
            over = first.op.axes
        case _:
            return None
    assert isinstance(node.op, ops.Squeeze)
    rank = len(simplifier.tensors[node.inputs[0]].shape)
    if {axis % rank for axis in over} != {axis % rank for axis in node.op.axes}:
        return None
    op = dataclasses.replace(first.op, keepdims=False)
    return Node(first.name, op, first.inputs, node.outputs, first.masks)


def reshaped_twice(simplifier: Traversal, node: Node) -> Node | None:
    """Behind another shape, or axes of size 1 that come or go, a reshape alone says what there is."""
    if not isinstance(node.op, ops.ReshapeTo):
        return None
    first = simplifier.maker(node.inputs[0])
    if first is None or not isinstance(first.op, ops.ReshapeTo | ops.ExpandDims | ops.Squeeze):
        return None
    return Node(node.name, node.op, first.inputs, node.outputs)


def flattened_twice(simplifier: Traversal, node: Node) -> Node | None:
    """Axes of size 1 that come or go make no difference to what is flattened."""
    first = simplifier.maker(node.inputs[0]) if isinstance(node.op, ops.Flatten) else None
    if first is None or not isinstance(first.op, ops.ExpandDims | ops.Squeeze):
        return None
    shape = simplifier.tensors[first.inputs[0]].shape
    if not shape or shape[0] != simplifier.tensors[node.inputs[0]].shape[0] or len(shape) == 1:
        return None
    return Node(node.name, node.op, first.inputs, node.outputs)


def new_axis_lost(simplifier: Traversal, node: Node) -> Sequence[str] | None:
    """A new axis that is taken away again."""
    if not isinstance(node.op, ops.Squeeze | ops.ExpandDims):
        return None
    other = ops.ExpandDims if isinstance(node.op, ops.Squeeze) else ops.Squeeze
    first = simplifier.producer(node.inputs[0], other)
    if first is None:
        return None
    assert isinstance(first.op, ops.Squeeze | ops.ExpandDims)
    wide = node.inputs[0] if isinstance(node.op, ops.Squeeze) else node.outputs[0]
    rank = len(simplifier.tensors[wide].shape)
    same = {axis % rank for axis in first.op.axes} == {axis % rank for axis in node.op.axes}
    # A squeezed axis that varies is promised to be 1, which is lost with it.
    fixed = all(isinstance(dim, int) for dim in simplifier.tensors[wide].shape)
    return first.inputs if same and (isinstance(node.op, ops.Squeeze) or fixed) else None


def last_step(simplifier: Traversal, node: Node) -> Sequence[str] | None:
    """The last step of a recurrent layer that has one direction and no mask is what it gives by itself."""
    layer = simplifier.maker(node.inputs[0]) if node.inputs else None
    if layer is None or not isinstance(layer.op, ops.Recurrent) or layer.masks[0] is not None:
        return None
    sequence = layer.outputs[0]
    last = position(node) == (1, -1) and sequence == node.inputs[0]
    if not last or not layer.op.return_sequences or simplifier.used(sequence) != 1:
        return None
    if not simplifier.owned(layer) or len(simplifier.tensors[sequence].shape) != 3:
        return None
    if outputs_count(layer.op):
        return None
    op = dataclasses.replace(layer.op, return_sequences=False, zero_output_for_mask=False)
    # The value of the last step goes by the name that the step had.
    simplifier.replace(layer, op, (node.outputs[0], *layer.outputs[1:]))
    return node.outputs


def dense(simplifier: Traversal, node: Node) -> Node | None:
    """A product with a trainable matrix, and the sum of that and a trainable vector."""
    if isinstance(node.op, ops.MatMul):
        weight = _parameter(simplifier, node.inputs[1], rank=2)
        if weight is None or len(simplifier.tensors[node.inputs[0]].shape) < 2:
            return None
        size, width = weight.shape
        op = ops.Dense(input_size=size, output_size=width, weight=weight.T, bias=None)
        return Node(node.name, op, node.inputs[:1], node.outputs)
    if not isinstance(node.op, ops.Elementwise) or node.op.function != "add":
        return None
    for product, vector in (node.inputs, node.inputs[::-1]):
        layer, bias = simplifier.producer(product, ops.Dense), _parameter(simplifier, vector, rank=1)
        if layer is None or bias is None or simplifier.used(product) != 1 or not simplifier.owned(layer):
            continue
        if outputs_count(layer.op):
            continue
        assert isinstance(layer.op, ops.Dense)
        plain = layer.op.bias is None and layer.op.activation == "linear"
        if plain and bias.shape == (layer.op.output_size,):
            return Node(layer.name, dataclasses.replace(layer.op, bias=bias), layer.inputs, node.outputs)
    return None


def _parameter(simplifier: Traversal, value: str, rank: int) -> np.ndarray | None:
    """The array of a trainable parameter that is used once."""
    node = simplifier.producer(value, ops.Parameter)
    if node is None or simplifier.used(value) != 1 or not simplifier.owned(node):
        return None
    assert isinstance(node.op, ops.Parameter)
    return node.op.value if node.op.value.ndim == rank and node.op.trainable else None


RULES: Sequence[Rule] = (
    fixed_size,
    constants,
    nothing_done,
    permuted_twice,
    squeezed_reduction,
    reshaped_twice,
    flattened_twice,
    new_axis_lost,
    same_again,
    last_step,
    dense,
)
