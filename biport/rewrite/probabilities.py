"""One probability as those of both classes."""

from __future__ import annotations

import dataclasses

import numpy as np

from biport import ops
from biport.graph import Graph, Node

END = "_probabilities"


def with_probabilities(graph: Graph) -> Graph:
    """The graph with one more output where the first is one probability ``(N, 1)``: those of both classes.

    It is called as the first, with `END` behind it, and is ``(N, 2)``: of the first class 1 less what the
    model gives, of the second that. Any other graph is given back as it is.

    Example:
        >>> from biport.graph import Value
        >>> table = ops.Dense(input_size=3, output_size=1, activation="sigmoid", bias=None,
        ...                   weight=np.ones((1, 3), "float32"))
        >>> graph = Graph((Value("x", ("N", 3), "float32"),), (Node("y", table, ("x",)),), ("y",))
        >>> with_probabilities(graph).outputs
        ('y', 'y_probabilities')
    """
    first = graph.outputs[0]
    tensor, name = graph.tensors[first], f"{first}{END}"
    if tensor.shape[1:] != (1,) or name in graph.tensors:
        return graph
    both = ops.Dense(
        input_size=1,
        output_size=2,
        weight=np.array([[-1], [1]], tensor.dtype),
        bias=np.array([1, 0], tensor.dtype),
    )
    nodes, outputs = (*graph.nodes, Node(name, both, (first,))), (first, name, *graph.outputs[1:])
    return dataclasses.replace(graph, nodes=nodes, outputs=outputs)
