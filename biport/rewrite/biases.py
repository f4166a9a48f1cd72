"""What happened when weights went from a graph into an existing model."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from biport.graph import Graph
from biport.ops import Cell, Op, same_bits


@dataclass(frozen=True)
class LoadReport:
    """The result of filling a model.

    Args:
        filled: the nodes whose weights were set.
        summed: the nodes whose two biases were added up because the target keeps one, and whose second
            was not zero: there the transfer is not bit for bit.
    """

    filled: tuple[str, ...]
    summed: tuple[str, ...] = ()


def summed_biases(graph: Graph) -> list[str]:
    """The nodes that a framework with a single bias cannot take bit for bit: ``bias_hh`` is not zero."""
    return [node.name for node in graph.nodes if _two_somewhere(node.op)]


def with_two_biases(graph: Graph, source: Graph) -> Graph:
    """A graph with both biases of a cell of ``source`` where it has their sum, rounded to its own dtype.

    Nodes without a twin of the same name stay as they are.
    """
    known = {node.name: node.op for node in source.nodes}
    changed: dict[int, Op] = {}
    for node in graph.nodes:
        changed.setdefault(id(node.op), _with_two_biases(node.op, known.get(node.name)))
    if all(changed[id(node.op)] is node.op for node in graph.nodes):
        return graph
    nodes = [dataclasses.replace(node, op=changed[id(node.op)]) for node in graph.nodes]
    return Graph(graph.inputs, tuple(nodes), graph.outputs, graph.origin, graph.tokenizers, graph.alphabet)


def _with_two_biases(op: Op, source: Op | None) -> Op:
    if source is None or not _two_somewhere(source):
        return op
    mine, theirs = op.weights(), source.weights()
    both: dict[str, np.ndarray] = {}
    for path, bias in mine.items():
        second = path.replace("bias_ih.", "bias_hh.")
        summed = second not in mine and {path, second} <= theirs.keys()
        if summed and same_bits(bias, theirs[path] + theirs[second]):
            both |= {path: theirs[path], second: theirs[second]}
    if sorted(mine.keys() | both.keys()) != sorted(theirs):
        return op
    return type(op).build(op.settings(), mine | both).with_learning(op.all_learning())


def _two_somewhere(op: Op) -> bool:
    return any(map(_two_biases, _with_parts(op)))


def _two_biases(op: Op) -> bool:
    return (
        isinstance(op, Cell)
        and op.one_bias
        and op.bias_hh is not None
        and any(bias.any() for bias in op.bias_hh.values())
    )


def _with_parts(op: Op) -> Iterator[Op]:
    yield op
    for part in op.parts().values():
        yield from _with_parts(part)
