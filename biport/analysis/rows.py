"""Whether the rows of a batch are computed by themselves, so that it may be sorted, cut, or empty."""

from __future__ import annotations

from biport.dims import letters_in
from biport.graph import Graph, Node
from biport.ops.rows import rows_meet


def where_rows_meet(graph: Graph) -> Node | None:
    """The first node that makes something of several rows, or of their number; ``None`` where none does.

    Example:
        >>> from biport import ops
        >>> from biport.graph import Value
        >>> x = Value("x", ("N", 4), "float32")
        >>> total = Node("total", ops.Reduction(function="sum", axes=(0,)), ("x",))
        >>> where_rows_meet(Graph((x,), (total,), ("total",))).name
        'total'
    """
    names = frozenset().union(*(letters_in(value.tensor.shape[:1]) for value in graph.inputs))
    return next((node for node in graph.nodes if _meets(graph, node, names)), None)


def _meets(graph: Graph, node: Node, names: frozenset[str]) -> bool:
    inputs, outputs = ([graph.tensors[name] for name in each] for each in (node.inputs, node.outputs))
    return rows_meet(node.op, inputs, outputs, names)
