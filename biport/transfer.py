"""What happened when weights went from a graph into an existing model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from biport.graph import Graph
from biport.ops import Cell, Op


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
    return [node.name for node in graph.nodes if any(map(_two_biases, _with_parts(node.op)))]


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
