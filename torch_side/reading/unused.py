"""Outputs that nobody reads are not asked for."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence, Set
from typing import Any

from biport import ops
from biport.graph import Graph, Node
from biport.ops import Op


def without_unused(graph: Graph, give_all: Set[str]) -> Graph:
    """The same model, in which recurrent layers give sequences and states, and attention scores, where used.

    Nodes that share an op share the one in its place, so that none of them may use what is left out.

    Args:
        graph: the model.
        give_all: the names of nodes of which this is said; others give what they were told to.
    """
    used = {name for node in graph.nodes for name in (*node.inputs, *node.masks)} | set(graph.outputs)
    sharing: dict[int, list[Node]] = {}
    for node in graph.nodes:
        sharing.setdefault(id(node.op), []).append(node)
    changed = {
        key: _needed(nodes, used)
        for key, nodes in sharing.items()
        if all(node.name in give_all for node in nodes)
    }
    return dataclasses.replace(
        graph, nodes=tuple(_with(node, *changed.get(id(node.op), (node.op, ()))) for node in graph.nodes)
    )


def _with(node: Node, op: Op, positions: Sequence[int]) -> Node:
    if op is node.op:
        return node
    outputs = tuple(node.outputs[position] for position in positions)
    return Node(node.name, op, node.inputs, outputs, node.masks)


def _needed(nodes: Sequence[Node], used: Set[str | None]) -> tuple[Op, Sequence[int]]:
    """The op with no more outputs than some node uses, and which of its outputs these are."""
    op, count = nodes[0].op, len(nodes[0].outputs)
    needed = {position for node in nodes for position, name in enumerate(node.outputs) if name in used}
    first = 2 if isinstance(op, ops.Bidirectional) and op.merge is None else 1
    match op:
        case ops.Attention() | ops.AdditiveAttention() | ops.MultiHeadAttention() if op.return_scores:
            return (op, range(count)) if 1 in needed else (dataclasses.replace(op, return_scores=False), [0])
        case ops.Bidirectional(forward=ops.Recurrent(return_state=True)) | ops.Recurrent(return_state=True):
            pass
        case _:
            return op, range(count)
    if not needed or max(needed) < first:
        return _set(op, return_state=False), range(first)
    if min(needed) < first:
        return op, range(count)
    last = _set(op, return_sequences=False, zero_output_for_mask=False)
    if isinstance(op, ops.Cell) and needed == {1} and all(len(node.inputs) == 1 for node in nodes):
        # Without initial states the last output is the state h, whatever the mask.
        return _set(last, return_state=False), [1]
    return last, range(count)


def _set(op: Op, **settings: Any) -> Op:
    """A recurrent layer, of one direction or both, with other settings."""
    if isinstance(op, ops.Bidirectional):
        one, two = (dataclasses.replace(part, **settings) for part in (op.forward, op.backward))
        return dataclasses.replace(op, forward=one, backward=two)
    return dataclasses.replace(op, **settings)  # type: ignore[type-var]
