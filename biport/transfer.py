"""What happened when weights went from a graph into an existing model."""

from __future__ import annotations

from dataclasses import dataclass

from biport.graph import Graph


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
    return [
        node.name
        for node in graph.nodes
        if any("bias_hh" in path and array.any() for path, array in node.op.weights().items())
    ]
