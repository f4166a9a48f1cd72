"""Rules of products of which every step was made a row, as TensorFlow writes them."""

from __future__ import annotations

from collections.abc import Sequence

from biport import ops
from biport.dims import product
from biport.graph import Node
from biport.rewrite.simplify.traversal import Rule, Traversal, outputs_count


def steps_as_rows(simplifier: Traversal, node: Node) -> Node | None:
    """Rows made of the steps, multiplied with a matrix, and made steps again are the steps multiplied.

    So with other layers that know of the last axis alone, and with several of them.
    """
    layers = _layers_of_rows(simplifier, node) if isinstance(node.op, ops.ReshapeTo) else []
    rows = simplifier.producer(layers[0].inputs[0], ops.ReshapeTo) if layers else None
    if rows is None:
        return None
    (*lead, size), shape = simplifier.tensors[rows.inputs[0]].shape, simplifier.tensors[node.outputs[0]].shape
    if not lead or simplifier.tensors[layers[0].inputs[0]].shape != (product(lead), size):
        return None
    last, width = layers[-1], simplifier.tensors[node.inputs[0]].shape[-1]
    squeezed = shape == tuple(lead) and width == 1
    if shape != (*lead, width) and not squeezed:
        return None
    source = rows.inputs[0]
    for layer in layers[: None if squeezed else -1]:
        simplifier.change(layer, layer.op, (source, *layer.inputs[1:]))
        source = layer.outputs[0]
    if squeezed:
        return Node(node.name, ops.Squeeze(axes=(len(lead),)), (source,), node.outputs)
    return Node(last.name, last.op, (source, *last.inputs[1:]), node.outputs)


def _layers_of_rows(simplifier: Traversal, node: Node) -> list[Node]:
    """The layers that rows of two axes go through in front of a node, which nothing else reads."""
    layers: list[Node] = []
    value = node.inputs[0]
    while (layer := simplifier.maker(value)) is not None and _is_of_rows(simplifier, layer):
        layers.insert(0, layer)
        value = layer.inputs[0]
    return layers


def _is_of_rows(simplifier: Traversal, layer: Node) -> bool:
    """Whether it does to every row by itself what it would to every step of a sequence."""
    shape = simplifier.tensors[layer.outputs[0]].shape if len(layer.outputs) == 1 else ()
    if len(shape) != 2 or any(layer.masks) or not simplifier.owned(layer) or outputs_count(layer.op):
        return False
    if simplifier.used(layer.outputs[0]) != 1:
        return False
    match layer.op:
        case ops.MatMul():
            return all(len(simplifier.tensors[source].shape) == 2 for source in layer.inputs)
        case ops.BatchNormalization(axis=axis):
            return axis % 2 == 1
    return isinstance(layer.op, ops.Dense | ops.Activation | ops.Dropout)


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
