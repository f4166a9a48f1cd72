"""Reshapes in the words of Keras: its layer where the batch stays, -1 for what need not be computed."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from biport.dims import Dim, product, quotient
from biport.graph import Graph, Node
from biport.ops import FLOATS, Reshape, ReshapeTo, Squeeze, Tensor
from keras_side.ops.shaping import reshaped
from keras_side.registry import WRITERS, Written


def in_words_of_keras(node: Node, graph: Graph) -> tuple[Node, Written]:
    """The node with the op that Keras has for it, and that op written.

    Example:
        >>> from biport.graph import Value
        >>> heads = Node("heads", ReshapeTo(shape=("N", "T", 2, 3)), ("x",))
        >>> graph = Graph((Value("x", ("N", "T", 6), "float32"),), (heads,), ("heads",))
        >>> in_words_of_keras(heads, graph)[0].op
        Reshape(target_shape=(-1, 2, 3))
    """
    if isinstance(node.op, Squeeze):
        node = _squeezed(node, graph.tensors[node.inputs[0]])
    if isinstance(node.op, ReshapeTo):
        x = graph.tensors[node.inputs[0]]
        shape = node.op.with_rest(x)
        layer = _layer(shape, x)
        if layer is None:
            return node, reshaped(shape)
        node = dataclasses.replace(node, op=layer)
    return node, WRITERS.lookup(type(node.op), f"node {node.name!r}")(node.op)


def _squeezed(node: Node, x: Tensor) -> Node:
    """The node; a reshape where a size is promised to be 1, which Keras wants to know when it is written."""
    assert isinstance(node.op, Squeeze)
    if all(x.shape[axis] == 1 for axis in node.op.axes):
        return node
    return dataclasses.replace(node, op=ReshapeTo(shape=node.op.shape_of(x)))


def _layer(shape: Sequence[Dim], x: Tensor) -> Reshape | None:
    """Keras' layer, which leaves the batch as it is and can have one other size that varies."""
    if len(x.shape) < 2 or len(shape) < 2 or x.dtype not in FLOATS:
        return None
    (batch, *sizes), (own, *rest) = shape, x.shape
    varying = [dim for dim in sizes if not isinstance(dim, int)]
    known = product([dim for dim in sizes if isinstance(dim, int)])
    if isinstance(batch, int) or batch != own or not known or len(varying) != 1:
        return None
    if quotient(product(rest), known) != varying[0]:
        return None
    return Reshape(target_shape=tuple(dim if isinstance(dim, int) else -1 for dim in sizes))
