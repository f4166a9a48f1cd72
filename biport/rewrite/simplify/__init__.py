"""What programs of tensor operations say of layers, said by the layers: exact rules, each of a few lines.

A state taken out of a stack is that state, the last step of a recurrent layer is what it gives without its
sequence, a product with a parameter is a Dense. Every rule gives the same numbers for every input, or the
same in exact arithmetic where a sum is grouped in another way; none of them looks at what weights there are.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Set

from biport.graph import Graph, body_of, owners, scan_over
from biport.ops import Scan
from biport.rewrite.simplify import convolutions, directions, regrouping, rows, rules, stacks, turning
from biport.rewrite.simplify.traversal import Traversal

__all__ = ["simplify"]

RULES = (
    *rules.RULES,
    *directions.RULES,
    *stacks.RULES,
    *turning.RULES,
    *regrouping.RULES,
    *convolutions.RULES,
    *rows.RULES,
)

MAX_PASSES = 4
"""Each goes through all nodes, and finds what the one before has uncovered; two are nearly always enough."""


def simplify(graph: Graph, kept: Set[str] = frozenset()) -> Graph:
    """The same model with layers in place of the tensor operations that make them up.

    Inputs and outputs keep their names, and layers theirs; tensor operations that nothing needs are left out.

    Args:
        graph: the model.
        kept: the names of nodes that somebody had as layers, and that no other takes over.

    Example:
        >>> from biport import ops
        >>> from biport.graph import Node, Value
        >>> transposed = ops.PermuteDims(axes=(0, 2, 1))
        >>> nodes = (
        ...     Node("there", transposed, ("x",)),
        ...     Node("back", transposed, ("there",)),
        ...     Node("y", ops.Activation(function="tanh"), ("back",)),
        ... )
        >>> print(simplify(Graph((Value("x", ("N", "T", 3), "float32"),), nodes, ("y",))))
        graph(x: float32 (N, T, 3)) -> y
          y : float32 (N, T, 3) = Activation(function=tanh)(x)
    """
    graph = _with_simple_steps(graph)
    for _ in range(MAX_PASSES):
        before, simplifier = graph, Traversal(graph, RULES, kept)
        for node in graph.nodes:
            simplifier.take(node)
        graph = simplifier.graph()
        if _unchanged(before, graph):
            break
    return _with_own_names(graph)


def _with_own_names(graph: Graph) -> Graph:
    """The same model; what was to be turned, and is not, goes by the name it had."""
    taken = {*graph.tensors, *(node.name for node in graph.nodes)}
    own: dict[str, str] = {}
    for node in graph.nodes:
        for value in node.outputs:
            name = value.removesuffix(turning.TURNED)
            if name != value and (name == node.name or name not in taken) and name not in graph.tensors:
                own[value] = name
    if not own:
        return graph
    nodes = (
        dataclasses.replace(
            node,
            inputs=tuple(own.get(name, name) for name in node.inputs),
            outputs=tuple(own.get(name, name) for name in node.outputs),
            masks=tuple(None if name is None else own.get(name, name) for name in node.masks),
        )
        for node in graph.nodes
    )
    outputs = tuple(own.get(name, name) for name in graph.outputs)
    return dataclasses.replace(graph, nodes=tuple(nodes), outputs=outputs)


def _with_simple_steps(graph: Graph) -> Graph:
    """The same model with what a step of a `biport.ops.Scan` is likewise said by layers."""
    simple = {id(op): _with_simple_step(op) for op in owners(graph).values() if isinstance(op, Scan)}
    if not simple:
        return graph
    nodes = (dataclasses.replace(node, op=simple.get(id(node.op), node.op)) for node in graph.nodes)
    return dataclasses.replace(graph, nodes=tuple(nodes))


def _with_simple_step(op: Scan) -> Scan:
    before = body_of(op)
    after = simplify(before)
    if _unchanged(before, after):
        return op
    step = scan_over(after, op.state_count)
    return dataclasses.replace(op, body=step.body, calls=step.calls)


def _unchanged(one: Graph, two: Graph) -> bool:
    """Whether the nodes of two graphs are the same, of the very same ops."""
    return len(one.nodes) == len(two.nodes) and all(
        a.op is b.op and (a.inputs, a.outputs) == (b.inputs, b.outputs)
        for a, b in zip(one.nodes, two.nodes, strict=True)
    )
