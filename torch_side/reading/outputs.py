"""What a model gives, under names that say what it is."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from biport import ops
from biport.graph import Graph, Node


def with_bare_outputs(graph: Graph) -> Graph:
    """A graph without the identities that its outputs are of values made inside, each of them once."""
    sources = {node.name: node.inputs[0] for node in graph.nodes if isinstance(node.op, ops.Identity)}
    inside = {name for node in graph.nodes for name in node.outputs}
    outputs: list[str] = []
    for output in graph.outputs:
        source = sources.get(output, output)
        outputs.append(source if source in inside and source not in outputs else output)
    dropped = {*graph.outputs} - {*outputs}
    nodes = tuple(node for node in graph.nodes if node.name not in dropped)
    return dataclasses.replace(graph, nodes=nodes, outputs=tuple(outputs))


def with_output_names(graph: Graph, names: Sequence[str | None]) -> Graph:
    """The graph with outputs called as the module calls them, where it does."""
    taken = {value.name for value in graph.inputs} | {name for node in graph.nodes for name in node.outputs}
    renamed: dict[str, str] = {}
    for output, name in zip(graph.outputs, names, strict=True):
        if name and output not in renamed and name not in taken:
            renamed[output] = name
            taken.add(name)
    nodes = (_renamed(node, renamed) for node in graph.nodes)
    outputs = tuple(renamed.get(name, name) for name in graph.outputs)
    return dataclasses.replace(graph, nodes=tuple(nodes), outputs=outputs)


def _renamed(node: Node, renamed: Mapping[str, str]) -> Node:
    inputs = tuple(renamed.get(name, name) for name in node.inputs)
    outputs = tuple(renamed.get(name, name) for name in node.outputs)
    masks = tuple(None if name is None else renamed.get(name, name) for name in node.masks)
    return Node(node.name, node.op, inputs, outputs, masks)
