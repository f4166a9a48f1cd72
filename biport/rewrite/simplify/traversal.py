"""One way through a graph, in which each node is compared with those already behind."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterator, Sequence, Set

import numpy as np

from biport import ops
from biport.graph import Graph, Node
from biport.reference.registry import REFERENCES

MAX_FOLDED = 2**16
"""Elements of a constant that is computed beforehand; larger ones are computed by whoever needs them."""

Rule = Callable[["Traversal", Node], "Node | Sequence[str] | None"]
"""Another node in place of one, or the values its outputs are already; or ``None``: it does not apply."""


CONSTANTS = (ops.Arange, ops.Constant, ops.Full, ops.SizeOf)


def _read(node: Node) -> Iterator[str]:
    yield from node.inputs
    yield from (mask for mask in node.masks if mask is not None)


def is_small(tensor: ops.Tensor) -> bool:
    """Whether a value is of a size that does not vary, and of `MAX_FOLDED` elements at most."""
    count = 1
    for dim in tensor.shape:
        if not isinstance(dim, int):
            return False
        count *= dim
    return count <= MAX_FOLDED


def outputs_count(op: ops.Op) -> bool:
    """Whether training adds something to the loss for all that the op gives."""
    return any(learning.activity is not None for learning in op.all_learning().values())


class Traversal:
    """One way through a graph, each node matched with those already behind."""

    def __init__(self, graph: Graph, rules: Sequence[Rule], kept: Set[str] = frozenset()) -> None:
        self._rules = rules
        self.kept = kept
        self.tensors = dict(graph.tensors)
        self.outputs = frozenset(graph.outputs)
        self._source = graph
        self._nodes: dict[str, Node] = {}
        self._maker: dict[str, str] = {}
        self._same: dict[str, str] = {}
        self._uses = Counter(graph.outputs)
        self._calls = Counter(id(node.op) for node in graph.nodes)
        # Ops are told apart by their ids, so that none may go while there is a traversal.
        self._ops = [node.op for node in graph.nodes]
        self._readers: dict[tuple[type[ops.Op], tuple[str, ...]], list[str]] = {}
        self._names = {*self.tensors, *(node.name for node in graph.nodes)}
        for node in graph.nodes:
            self._uses.update(_read(node))

    def take(self, node: Node) -> None:
        """The next node, or what is in its place."""
        node = self._renamed(node)
        for rule in self._rules:
            result = rule(self, node)
            if isinstance(result, Node):
                self._uses.subtract(_read(node))
                self._uses.update(_read(result))
                self._calls[id(result.op)] += result.op is not node.op
                self._ops.append(result.op)
                node = result
            elif result is not None and tuple(result) == node.outputs:
                self._uses.subtract(_read(node))
                return
            elif result is not None and self.outputs.isdisjoint(node.outputs):
                self._uses.subtract(_read(node))
                for value, same in zip(node.outputs, result, strict=True):
                    self._same[value] = same
                    self._uses[same] += self._uses.pop(value, 0)
                return
        self.put(node)

    def put(self, node: Node) -> None:
        """Add a node, or another one under the name of one that is there."""
        self._nodes[node.name] = node
        self._maker |= dict.fromkeys(node.outputs, node.name)
        self._readers.setdefault((type(node.op), node.inputs), []).append(node.name)

    def fresh(self, name: str) -> str:
        """A name that nothing has yet."""
        candidates = (name, *(f"{name}_{number}" for number in range(1, len(self._names) + 2)))
        free = next(candidate for candidate in candidates if candidate not in self._names)
        self._names.add(free)
        return free

    def insert(self, op: ops.Op, inputs: Sequence[str], name: str) -> str:
        """Another node before the one that is looked at; the name of the value it makes."""
        name = self.fresh(name)
        self.append(name, op, inputs, name)
        return name

    def add(self, node: Node) -> None:
        """Another op under the name of the node that is looked at, which makes values of other names."""
        self._uses.update(_read(node))
        self._calls[id(node.op)] += id(node.op) not in self._calls
        self._ops.append(node.op)
        inferred = node.op.infer([self.tensors[name] for name in node.inputs])
        self.tensors |= zip(node.outputs, inferred, strict=True)
        self.put(node)

    def remove(self, node: Node) -> None:
        """Take out a node whose value is read by the one that is looked at alone, which takes its place."""
        self._uses.subtract(_read(node))
        self._readers[type(node.op), node.inputs].remove(node.name)
        del self._nodes[node.name]

    def append(self, name: str, op: ops.Op, inputs: Sequence[str], output: str) -> None:
        """Another node under a name that is free, which makes a value under a name of its own."""
        node = Node(name, op, tuple(inputs), (output,))
        self._uses.update(_read(node))
        self._calls[id(op)] += 1
        self._ops.append(op)
        self.tensors |= zip(node.outputs, op.infer([self.tensors[name] for name in inputs]), strict=True)
        self.put(node)

    def change(self, node: Node, op: ops.Op, inputs: Sequence[str]) -> None:
        """Have a node that is there, under the name it has, read and compute something else."""
        changed = dataclasses.replace(node, op=op, inputs=tuple(inputs))
        self._uses.subtract(_read(node))
        self._uses.update(_read(changed))
        self.replace(changed, op, node.outputs)

    def like(self, node: Node) -> Node | None:
        """A node that is there and does the same to the same values."""
        for name in self._readers.get((type(node.op), node.inputs), ()):
            other = self._nodes[name]
            if other.inputs == node.inputs and other.op == node.op and name != node.name:
                return other
        return None

    def maker(self, value: str) -> Node | None:
        """The node that makes a value; ``None`` of an input."""
        name = self._maker.get(value)
        return None if name is None else self._nodes[name]

    def producer(self, value: str, kind: type[ops.Op]) -> Node | None:
        """The node that makes a value, where its op is of this kind."""
        node = self.maker(value)
        return node if node is not None and isinstance(node.op, kind) else None

    def used(self, value: str) -> int:
        """How often nodes or the model's outputs read a value."""
        return self._uses[value]

    def owned(self, node: Node) -> bool:
        """Whether its op is that of no other node."""
        return self._calls[id(node.op)] == 1

    def replace(self, node: Node, op: ops.Op, outputs: Sequence[str]) -> None:
        """Have a node that is there compute something else."""
        self._calls[id(op)] += 1
        self._ops.append(op)
        changed = dataclasses.replace(node, op=op, outputs=tuple(outputs))
        self.put(changed)
        inferred = op.infer([self.tensors[name] for name in node.inputs])
        self.tensors |= zip(outputs, inferred, strict=True)

    def constant(self, value: str) -> np.ndarray | None:
        """The array that a value always is, where it is a small constant of the program."""
        node = self.maker(value)
        if node is None or not isinstance(node.op, CONSTANTS) or node.op.letters:
            return None
        if not is_small(self.tensors[value]):
            return None
        return REFERENCES.lookup(type(node.op), node.name)(node.op, [], [])[0]

    def graph(self) -> Graph:
        """What is left, without tensor operations that nothing reads."""
        nodes: list[Node] = []
        needed = set(self.outputs)
        for node in reversed(self._nodes.values()):
            if isinstance(node.op, ops.TensorOperation) and needed.isdisjoint(node.outputs):
                continue
            needed.update(_read(node))
            nodes.append(node)
        source = self._source
        return Graph(
            source.inputs,
            tuple(reversed(nodes)),
            source.outputs,
            source.origin,
            source.tokenizers,
            source.alphabet,
        )

    def _renamed(self, node: Node) -> Node:
        if not any(value in self._same for value in _read(node)):
            return node
        inputs = tuple(self._same.get(value, value) for value in node.inputs)
        masks = tuple(None if mask is None else self._same.get(mask, mask) for mask in node.masks)
        return dataclasses.replace(node, inputs=inputs, masks=masks)
