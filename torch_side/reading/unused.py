"""Outputs that nobody reads are not asked for."""

from __future__ import annotations

import dataclasses

from biport import ops
from biport.graph import Graph, Node
from biport.ops import Op


def without_unused(graph: Graph) -> Graph:
    """The same model, in which recurrent layers give their states, and attention its scores, where used."""
    used = {name for node in graph.nodes for name in (*node.inputs, *node.masks)} | set(graph.outputs)
    nodes = []
    for node in graph.nodes:
        op = _with_one_output(node.op)
        if op is not None and used.isdisjoint(node.outputs[1:]):
            node = Node(node.name, op, node.inputs, node.outputs[:1], node.masks)
        nodes.append(node)
    return dataclasses.replace(graph, nodes=tuple(nodes))


def _with_one_output(op: Op) -> Op | None:
    """The op without its states or scores, where it gives any."""
    match op:
        case ops.Bidirectional(forward=forward, backward=backward) if forward.return_state and op.merge:
            one, two = (dataclasses.replace(part, return_state=False) for part in (forward, backward))
            return dataclasses.replace(op, forward=one, backward=two)
        case ops.Recurrent(return_state=True):
            return dataclasses.replace(op, return_state=False)
        case ops.Attention() | ops.AdditiveAttention() | ops.MultiHeadAttention() if op.return_scores:
            return dataclasses.replace(op, return_scores=False)
    return None
