"""Where a model can come to have NaN, though its weights and inputs are finite.

A mean over no steps is 0 / 0: of a row of padding alone, or of no steps at all. Frameworks carry it on; a
runtime that clips what it computes makes a number of it that looks like any other.
"""

from __future__ import annotations

from biport.graph import Graph, Node
from biport.ops import FLOATS


def may_be_nan(graph: Graph) -> frozenset[str]:
    """The values that are NaN for some input; overflow aside.

    Example:
        >>> from biport import ops
        >>> from biport.graph import Value
        >>> inputs = Value("x", ("N", 5, 3), "float32"), Value("valid", ("N", 5), "bool")
        >>> mean = Node("mean", ops.GlobalAveragePooling1D(), ("x",), masks=("valid",))
        >>> relu = Node("relu", ops.ReLU(), ("mean",))
        >>> sorted(may_be_nan(Graph(inputs, (mean, relu), ("relu",))))
        ['mean', 'relu']
    """
    reached: set[str] = set()
    for node in graph.nodes:
        if _makes_nan(graph, node) or not reached.isdisjoint(node.inputs):
            reached |= {name for name in node.outputs if graph.tensors[name].dtype in FLOATS}
    return frozenset(reached)


def _makes_nan(graph: Graph, node: Node) -> bool:
    masked = bool(node.masks) and node.masks[0] is not None
    return node.op.may_be_nan([graph.tensors[name] for name in node.inputs], masked)
