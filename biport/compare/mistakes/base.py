"""What a mistake is, and the ways to make one: in ops, in nodes, in inputs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from biport.graph import Graph, Node, Value
from biport.ops import Bidirectional, Op, Scan, StackedRNN

Arrays = Sequence[np.ndarray]
OpChange = Callable[[Op], Op]
NodeChange = Callable[[Node], Iterable[Node]]
ArrayChange = Callable[[np.ndarray], np.ndarray]


def _as_meant(graph: Graph) -> Graph:
    return graph


def _as_given(graph: Graph, arrays: Arrays) -> Arrays:
    return arrays


@dataclass(frozen=True)
class Mistake:
    """One wrong step.

    Args:
        name: a clause that says what is wrong.
        graph: what is made of a graph; the graph itself where the mistake cannot be made in it. It raises
            `BiportError` where an op refuses to be that.
        inputs: what is made of the inputs of a graph.
        change: what is made of each op, innermost first, where that is all the mistake is. It gives back the
            very op where it has nothing to change.
    """

    name: str
    graph: Callable[[Graph], Graph] = _as_meant
    inputs: Callable[[Graph, Arrays], Arrays] = _as_given
    change: OpChange | None = None

    @property
    def mixes_inputs(self) -> bool:
        """Whether it is made with inputs rather than with a graph."""
        return self.inputs is not _as_given


def of_ops(name: str, change: OpChange) -> Mistake:
    """A mistake in what ops are, those inside of others too."""
    return Mistake(name, partial(_each_op, partial(_everywhere, change)), change=change)


def of_nodes(name: str, change: NodeChange) -> Mistake:
    """A mistake in how nodes are connected; ``change`` gives the nodes that stand for one."""
    return Mistake(name, partial(_each_node, change))


def of_inputs(name: str, kind: Callable[[Value], bool], change: ArrayChange) -> Mistake:
    """A mistake in what a model is given, in the inputs of one kind."""

    def change_all(graph: Graph, arrays: Arrays) -> Arrays:
        pairs = zip(graph.inputs, arrays, strict=True)
        return [change(array) if kind(value) else array for value, array in pairs]

    return Mistake(name, inputs=change_all)


def in_one_part(mistake: Mistake, op: Op) -> Iterator[Mistake]:
    """The same mistake made in one direction of ``op`` alone, in one cell, or in one cell of one direction.

    Args:
        mistake: of ops; others have no parts.
        op: of the nodes it is made in.
    """
    if mistake.change is None:
        return
    for where, paths in _parts(op).items():
        change = partial(_at, paths, mistake.change)
        yield Mistake(f"{mistake.name} {where}", partial(_each_op, change))


def _parts(op: Op) -> dict[str, list[tuple[str, ...]]]:
    """The ops inside of a recurrent op: where they are in words, and the path to each."""
    parts: dict[str, list[tuple[str, ...]]] = {}
    for key, part in op.parts().items():
        if isinstance(op, StackedRNN):
            parts[f"in {_cell(key)}"] = [(key,)]
        if isinstance(op, Scan):
            parts[f"in {key.removeprefix('body.')!r} of its step"] = [(key,)]
        if isinstance(op, Bidirectional):
            parts[f"in its {key} direction"] = [(key,)]
            for inner in part.parts():
                parts[f"in {_cell(inner)} of its {key} direction"] = [(key, inner)]
                parts.setdefault(f"in {_cell(inner)}", []).append((key, inner))
    return parts


def _cell(key: str) -> str:
    return key.replace("cells.", "cell ")


def _each_op(change: OpChange, graph: Graph) -> Graph:
    return _each_node(lambda node: [with_op(node, change(node.op))], graph)


def _each_node(change: NodeChange, graph: Graph) -> Graph:
    nodes = tuple(other for node in graph.nodes for other in change(node))
    if len(nodes) == len(graph.nodes) and all(map(lambda a, b: a is b, nodes, graph.nodes)):
        return graph
    return Graph(graph.inputs, nodes, graph.outputs, graph.origin, graph.tokenizers, graph.alphabet)


def with_op(node: Node, op: Op) -> Node:
    """``node`` with another op; the very node if it is none."""
    return node if op is node.op else dataclasses.replace(node, op=op)


def _everywhere(change: OpChange, op: Op) -> Op:
    return change(op.with_parts({key: _everywhere(change, part) for key, part in op.parts().items()}))


def _at(paths: Sequence[Sequence[str]], change: OpChange, op: Op) -> Op:
    """``op`` with the parts at these paths changed, and all that is inside of them."""
    for key, *inner in paths:
        part = op.parts().get(key)
        if part is not None:
            other = _at([inner], change, part) if inner else _everywhere(change, part)
            op = op.with_parts({key: other})
    return op


def replaced(op: Any, **fields: Any) -> Any:
    """`dataclasses.replace`, for an op of whatever kind."""
    return dataclasses.replace(op, **fields)
