"""Reshapes in the words of Keras: its layer where the batch stays, -1 for what need not be computed."""

from __future__ import annotations

import dataclasses

from biport.dims import product, quotient
from biport.graph import Graph, Node
from biport.ops import FLOATS, Reshape, ReshapeTo, Tensor


def keras_reshape(node: Node, graph: Graph) -> Node:
    """The node, one that reshapes without more sizes to compute than it needs.

    Example:
        >>> from biport.graph import Value
        >>> heads = Node("heads", ReshapeTo(shape=("N", "T", 2, 3)), ("x",))
        >>> graph = Graph((Value("x", ("N", "T", 6), "float32"),), (heads,), ("heads",))
        >>> keras_reshape(heads, graph).op
        Reshape(target_shape=(-1, 2, 3))
    """
    if not isinstance(node.op, ReshapeTo):
        return node
    x = graph.tensors[node.inputs[0]]
    shape = node.op.with_rest(x)
    layer = _layer(Tensor(shape, x.dtype), x)
    return dataclasses.replace(node, op=layer or ReshapeTo(shape=shape))


def _layer(wanted: Tensor, x: Tensor) -> Reshape | None:
    """Keras' layer, which leaves the batch as it is and can have one other size that varies."""
    if len(x.shape) < 2 or len(wanted.shape) < 2 or x.dtype not in FLOATS:
        return None
    (batch, *sizes), (own, *rest) = wanted.shape, x.shape
    varying = [dim for dim in sizes if not isinstance(dim, int)]
    known = product([dim for dim in sizes if isinstance(dim, int)])
    if isinstance(batch, int) or batch != own or not known or len(varying) != 1:
        return None
    if quotient(product(rest), known) != varying[0]:
        return None
    return Reshape(target_shape=tuple(dim if isinstance(dim, int) else -1 for dim in sizes))
