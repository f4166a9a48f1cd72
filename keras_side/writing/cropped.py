"""Transposed convolutions that cut off what Keras has no words for, as its own and a cropping behind."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from biport import ops
from biport.graph import Graph, Node
from biport.ops import Op, TransposedConvolution
from biport.ops.shape import CROPPINGS
from biport.ops.windows import Pairs
from keras_side.shared.transposed import in_words


def cropped_behind(graph: Graph) -> Graph:
    """The graph with what Keras cannot cut off inside of a transposed convolution cut off behind it.

    A graph without such convolutions is given back as it is.

    Example:
        >>> import numpy as np
        >>> from biport.graph import Value
        >>> up = ops.Conv1DTranspose(input_size=3, output_size=1, kernel_size=3, strides=2, dilation=1,
        ...     cropping=((2, 0),), weight=np.ones((3, 1, 3), "float32"), bias=None)
        >>> graph = cropped_behind(Graph((Value("x", ("N", "T", 3), "float32"),), (Node("y", up, ("x",)),),
        ...     ("y",)))
        >>> [(node.op.kind, node.outputs) for node in graph.nodes], graph.nodes[1].op.cropping
        ([('Conv1DTranspose', ('y.whole',)), ('Cropping1D', ('y',))], ((2, 0),))
    """
    if not any(_more(node.op) for node in graph.nodes):
        return graph
    known: dict[int, Op] = {}
    nodes = [new for node in graph.nodes for new in _split(node, known)]
    return dataclasses.replace(graph, nodes=tuple(nodes))


def _more(op: Op) -> Pairs | None:
    """What is to be cut off behind; ``None`` of any other op, and where Keras has no layer for it."""
    if isinstance(op, ops.TimeDistributed):
        return _more(op.layer)
    if not isinstance(op, TransposedConvolution):
        return None
    axes = list(zip(op.spans, op.strides, strict=True))
    if in_words(axes, op.cropping) is not None:
        return None
    more = tuple(
        (before, behind - inside)
        for (before, behind), (_, inside) in zip(op.cropping, _inside(op), strict=True)
    )
    return more if all(behind >= 0 for _, behind in more) else None


def _inside(op: TransposedConvolution) -> Pairs:
    """What Keras' "valid" cuts off."""
    return tuple((0, min(span - stride, 0)) for span, stride in zip(op.spans, op.strides, strict=True))


def _whole(op: Op) -> Op:
    if isinstance(op, ops.TimeDistributed):
        return dataclasses.replace(op, layer=_whole(op.layer))
    assert isinstance(op, TransposedConvolution)
    return dataclasses.replace(op, cropping=_inside(op))


def _split(node: Node, known: dict[int, Op]) -> Iterator[Node]:
    more = _more(node.op)
    if more is None:
        yield node
        return
    whole, crop = f"{node.name}.whole", CROPPINGS[len(more)](cropping=more)
    op = known.setdefault(id(node.op), _whole(node.op))
    yield dataclasses.replace(node, op=op, outputs=(whole,))
    behind = ops.TimeDistributed(layer=crop) if isinstance(node.op, ops.TimeDistributed) else crop
    yield Node(f"{node.name}.cropped", behind, (whole,), node.outputs)
