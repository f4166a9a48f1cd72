"""Whether the rows of a batch are computed by themselves, so that it may be sorted, cut, or empty."""

from __future__ import annotations

from biport.dims import letters_in
from biport.graph import Graph, Node
from biport.ops import Locality, PermuteDims
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


def row_axes(graph: Graph) -> tuple[int, ...] | None:
    """The axis of each output along which its rows lie; ``None`` where rows meet.

    It is the first but where somebody puts time there, as torch's recurrent layers have it: what such a value
    goes through then treats steps by themselves, and so rows.

    Example:
        >>> from biport import ops
        >>> from biport.graph import Value
        >>> turned = Node("turned", ops.PermuteDims(axes=(1, 0, 2)), ("x",))
        >>> head = Node("y", ops.Activation(function="softmax"), ("turned",))
        >>> row_axes(Graph((Value("x", ("N", "T", 4), "float32"),), (turned, head), ("y", "x")))
        (1, 0)
    """
    names = frozenset().union(*(letters_in(value.tensor.shape[:1]) for value in graph.inputs))
    axes = dict.fromkeys((value.name for value in graph.inputs), 0)
    for node in graph.nodes:
        own = {axes[name] for name in node.inputs if letters_in(graph.tensors[name].shape) & names}
        axis = _row_axis(graph, node, own, names)
        if axis is None:
            return None
        axes |= dict.fromkeys(node.outputs, axis)
    return tuple(axes[name] for name in graph.outputs)


def _row_axis(graph: Graph, node: Node, axes: set[int], names: frozenset[str]) -> int | None:
    """Along which axis the rows of what a node gives lie, those of its inputs along ``axes``."""
    if isinstance(node.op, PermuteDims) and len(axes) == 1:
        return axis if (axis := node.op.axes.index(*axes)) < 2 else None
    if axes <= {0}:
        return None if _meets(graph, node, names) else 0
    inputs, outputs = ([graph.tensors[name] for name in each] for each in (node.inputs, node.outputs))
    by_step = Locality.STEP in node.op.locality(inputs) and not node.op.mixes_rows(inputs)
    stays = all(not letters_in((*one.shape[:1], *one.shape[2:])) & names for one in outputs)
    return 1 if axes == {1} and by_step and stays and not any(node.masks) else None


def _meets(graph: Graph, node: Node, names: frozenset[str]) -> bool:
    inputs, outputs = ([graph.tensors[name] for name in each] for each in (node.inputs, node.outputs))
    return rows_meet(node.op, inputs, outputs, names)
