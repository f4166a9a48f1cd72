"""Rules of products of which every step was made a row, as TensorFlow writes them."""

from __future__ import annotations

from collections.abc import Sequence

from biport import ops
from biport.dims import product
from biport.graph import Node
from biport.rewrite.simplify.traversal import Rule, Traversal, outputs_count


def steps_as_rows(simplifier: Traversal, node: Node) -> Node | None:
    """Rows made of the steps, multiplied with a matrix, and made steps again are the steps multiplied."""
    layer = simplifier.maker(node.inputs[0]) if isinstance(node.op, ops.ReshapeTo) else None
    if layer is None or not isinstance(layer.op, ops.Dense | ops.MatMul) or any(layer.masks):
        return None
    rows = simplifier.producer(layer.inputs[0], ops.ReshapeTo)
    if rows is None or simplifier.used(node.inputs[0]) != 1 or not simplifier.owned(layer):
        return None
    (*lead, size), (*_, width) = (simplifier.tensors[name].shape for name in (*rows.inputs, *layer.outputs))
    matrices = [simplifier.tensors[name].shape for name in layer.inputs]
    if not lead or matrices[0] != (product(lead), size) or any(len(shape) != 2 for shape in matrices):
        return None
    if outputs_count(layer.op):
        return None
    inputs, shape = (*rows.inputs, *layer.inputs[1:]), simplifier.tensors[node.outputs[0]].shape
    if shape == (*lead, width):
        return Node(layer.name, layer.op, inputs, node.outputs)
    if shape == tuple(lead) and width == 1:
        simplifier.change(layer, layer.op, inputs)
        return Node(node.name, ops.Squeeze(axes=(len(lead),)), layer.outputs, node.outputs)
    return None


def product_with_a_column(simplifier: Traversal, node: Node) -> Node | None:
    """A product with a vector made a column, an axis that is lost again, is the product with the vector."""
    by_column = simplifier.producer(node.inputs[0], ops.MatMul) if isinstance(node.op, ops.Squeeze) else None
    if by_column is None or simplifier.used(node.inputs[0]) != 1:
        return None
    assert isinstance(node.op, ops.Squeeze)
    column = simplifier.maker(by_column.inputs[1])
    if column is None or not isinstance(column.op, ops.ReshapeTo | ops.ExpandDims):
        return None
    rank = len(simplifier.tensors[node.inputs[0]].shape)
    vector, shape = (simplifier.tensors[name].shape for name in (*column.inputs, *column.outputs))
    if len(vector) != 1 or shape != (*vector, 1) or [axis % rank for axis in node.op.axes] != [rank - 1]:
        return None
    return Node(node.name, ops.MatMul(), (by_column.inputs[0], *column.inputs), node.outputs)


RULES: Sequence[Rule] = (steps_as_rows, product_with_a_column)
