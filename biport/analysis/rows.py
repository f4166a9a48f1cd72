"""Whether the rows of a batch are computed by themselves, so that it may be sorted, cut, or empty."""

from __future__ import annotations

from biport.dims import letters_in
from biport.graph import Graph, Node
from biport.ops import Arange, SizeOf, Tensor


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
    given = [graph.tensors[name] for name in node.inputs]
    if isinstance(node.op, Arange | SizeOf):
        return bool(node.op.letters & names)
    if not any(letters_in(tensor.shape) & names for tensor in given):
        return False
    outputs = [graph.tensors[name] for name in node.outputs]
    return node.op.mixes_rows(given) or not all(_has_rows(tensor, names) for tensor in outputs)


def _has_rows(tensor: Tensor, names: frozenset[str]) -> bool:
    """Whether the rows lie along axis 0, and only there."""
    front, behind = tensor.shape[:1], tensor.shape[1:]
    return bool(front) and str(front[0]) in names and not letters_in(behind) & names
