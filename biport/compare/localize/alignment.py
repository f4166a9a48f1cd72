"""Which node of one graph is which node of another, where the two were read from different forms."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from biport.graph import Graph, Node


@dataclass(frozen=True)
class Alignment:
    """From one graph's names to another's; what has no counterpart is left out.

    Args:
        nodes: ``{node: node}``.
        values: ``{value: value}``.
    """

    nodes: dict[str, str]
    values: dict[str, str]


def align(own: Graph, wanted: Graph) -> Alignment:
    """Match nodes of the same kind that read matching values.

    Where several could be meant, one that reads them in the same order is taken, one of the same name, or
    else one with the very same op, or else the first. Masks do not count: a layer that lost its mask is still
    that layer.
    """
    pairs = zip(own.inputs, wanted.inputs, strict=False)
    alignment = Alignment({}, {one.name: two.name for one, two in pairs})
    free = list(wanted.nodes)
    for node in own.nodes:
        alike = [other for other in free if _alike(node, other, alignment.values)]
        if not alike:
            continue
        sources = _sources(node, alignment.values)
        chosen = min(
            alike,
            key=lambda other: (other.inputs != sources, other.name != node.name, other.op != node.op),
        )
        free.remove(chosen)
        alignment.nodes[node.name] = chosen.name
        alignment.values.update(zip(node.outputs, chosen.outputs, strict=True))
    return alignment


def _alike(node: Node, other: Node, values: dict[str, str]) -> bool:
    return (
        node.op.kind == other.op.kind
        and Counter(_sources(node, values)) == Counter(other.inputs)
        and len(node.outputs) == len(other.outputs)
    )


def _sources(node: Node, values: dict[str, str]) -> tuple[str | None, ...]:
    return tuple(values.get(name) for name in node.inputs)
