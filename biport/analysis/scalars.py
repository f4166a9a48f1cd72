"""Constants that are a single number, and stand as one where they are used: ``x * 0.5``."""

from __future__ import annotations

from biport.graph import Graph, Node
from biport.ops import Constant
from biport.ops.elementwise import Broadcasting


def inline_scalars(graph: Graph) -> set[str]:
    """The values that a program may have as plain numbers: their dtype is that of what they meet.

    Those are scalar constants that no output is, and that are used by nothing but elementwise operations
    which have another input of the same dtype.

    Example:
        >>> import numpy as np
        >>> from biport import ops
        >>> from biport.graph import Value
        >>> scale = Node("scale", ops.Constant(value=np.float32(0.5)), ())
        >>> scaled = Node("scaled", ops.Elementwise(function="multiply"), ("x", "scale"))
        >>> inline_scalars(Graph((Value("x", ("N", 3), "float32"),), (scale, scaled), ("scaled",)))
        {'scale'}
    """
    scalars = {
        node.outputs[0]: graph.tensors[node.outputs[0]].dtype
        for node in graph.nodes
        if isinstance(node.op, Constant) and not node.op.value.ndim
    }
    kept = {
        name
        for node in graph.nodes
        for name in (*node.inputs, *node.masks)
        if not _meets(graph, node, name, scalars)
    }
    return set(scalars) - kept - set(graph.outputs)


def _meets(graph: Graph, node: Node, name: str | None, scalars: dict[str, str]) -> bool:
    """Whether ``node`` computes with the scalar ``name`` and with a tensor of its dtype."""
    if not isinstance(node.op, Broadcasting):
        return False
    others = (graph.tensors[other].dtype for other in node.inputs if other not in scalars)
    return name in scalars and scalars[name] in others
