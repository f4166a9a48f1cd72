"""The neutral model: named nodes over named values, checked when built.

Masks are edges: a node that skips padded steps names the ``(N, T)`` boolean value that says which
steps are valid, beside the input it belongs to. Nobody downstream has to guess.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from biport.dims import Dim, plain
from biport.errors import GraphError
from biport.ops import Learning, Op, Penalty, Scan, Tensor, Value, same_bits
from biport.ops.scan import Call, apart
from biport.ops.wiring import wired
from biport.text import Tokenizer
from biport.text.alphabet import Alphabet
from biport.weight_files import pieces


@dataclass(frozen=True)
class Node:
    """One op applied to values.

    Two nodes that hold the very same op object share its weights: a layer called twice.

    Args:
        name: unique in the graph; the Keras layer's name and the torch attribute's path.
        op: what is computed.
        inputs: the names of the values it reads.
        outputs: the names of the values it makes; by default its own name.
        masks: for each input the name of its mask, or ``None``; by default no masks.
    """

    name: str
    op: Op
    inputs: tuple[str, ...]
    outputs: tuple[str, ...] = ()
    masks: tuple[str | None, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "outputs", self.outputs or (self.name,))
        object.__setattr__(self, "masks", self.masks or (None,) * len(self.inputs))


@dataclass(frozen=True)
class Graph:
    """A model. Two graphs are equal when their inputs, nodes, weights and outputs are, bit for bit.

    How the weights are trained, `biport.ops.Learning`, makes no difference to that, nor to the digest.

    Args:
        inputs: in the order of the model they were read from.
        nodes: in an order in which each reads only what is above it.
        outputs: the names of the values the model gives, in order.
        origin: where the graph came from, such as ``{"framework": "keras", "version": "3.15.1"}``.
        tokenizers: by the names of inputs of ids, how the model they were read from makes them of texts; no
            more part of what the graph computes than its origin is.
        alphabet: what the classes of its first output are called, where that is a sequence of CTC; likewise.

    Raises:
        GraphError: a name is used twice, a value is used before it is made, or shapes, dtypes or masks do
            not suit the ops; the message names the node.

    Example:
        >>> from biport import ops
        >>> table = ops.Embedding(num_embeddings=9, embedding_dim=4, weight=np.ones((9, 4), "float32"))
        >>> mean = ops.GlobalAveragePooling1D()
        >>> nodes = (
        ...     Node("mask", ops.NotEqual(), ("ids",)),
        ...     Node("vectors", table, ("ids",)),
        ...     Node("mean", mean, ("vectors",), masks=("mask",)),
        ... )
        >>> print(Graph((Value("ids", ("N", "T"), "int32"),), nodes, ("mean",)))
        graph(ids: int32 (N, T)) -> mean
          mask    : bool (N, T)       = NotEqual()(ids)
          vectors : float32 (N, T, 4) = Embedding(num_embeddings=9, embedding_dim=4)(ids)
          mean    : float32 (N, 4)    = GlobalAveragePooling1D()(vectors | mask)
    """

    inputs: tuple[Value, ...]
    nodes: tuple[Node, ...]
    outputs: tuple[str, ...]
    origin: Mapping[str, str] = dataclasses.field(default_factory=dict, compare=False)
    tokenizers: Mapping[str, Tokenizer] = dataclasses.field(default_factory=dict, compare=False)
    alphabet: Alphabet | None = dataclasses.field(default=None, compare=False)
    tensors: Mapping[str, Tensor] = dataclasses.field(default_factory=dict, compare=False, init=False)
    """Shape and dtype of every value, inputs and intermediate ones."""

    def __post_init__(self) -> None:
        nodes = ((node, node.op) for node in self.nodes)
        object.__setattr__(self, "tensors", wired(self.inputs, nodes, self.outputs))
        for name in self.tokenizers.keys() - {value.name for value in self.inputs}:
            raise GraphError(f"a tokeniser makes {name!r}, which is no input")
        if self.alphabet is not None and self.tensors[self.outputs[0]].shape[-1:] != (self.alphabet.size,):
            raise GraphError(
                f"the labels of {self.alphabet.size} classes, found {self.tensors[self.outputs[0]]}"
            )

    @property
    def notes(self) -> list[str]:
        """What whoever read the model says of it, for people."""
        notes = self.origin.get("notes")
        return notes.split("; ") if notes else []

    def __getitem__(self, name: str) -> Node:
        """The node called ``name``.

        Raises:
            KeyError: there is none.
        """
        for node in self.nodes:
            if node.name == name:
                return node
        raise KeyError(name)

    def __str__(self) -> str:
        """One line a node; weights are not shown."""
        head = ", ".join(f"{value.name}: {value.tensor}" for value in self.inputs)
        rows = [_row(self, node) for node in self.nodes]
        widths = [max((len(row[column]) for row in rows), default=0) for column in range(2)]
        lines = [f"  {name:<{widths[0]}} : {tensors:<{widths[1]}} = {call}" for name, tensors, call in rows]
        return "\n".join([f"graph({head}) -> {', '.join(self.outputs)}", *lines])

    def astype(self, dtype: str) -> Graph:
        """The same graph in another float dtype, shared weights still shared; itself if it has that dtype."""
        floats = {tensor.dtype for tensor in self.tensors.values() if tensor.dtype.startswith("float")}
        if floats <= {dtype} and all(node.op.dtype in (None, dtype) for node in self.nodes):
            return self
        inputs = tuple(
            dataclasses.replace(value, dtype=dtype) if value.dtype.startswith("float") else value
            for value in self.inputs
        )
        return self._with(inputs, lambda op: op.astype(dtype))

    def at(self, sizes: Mapping[str, Dim]) -> Graph:
        """The same graph with numbers, or other sizes, in place of letters, in its inputs and its ops.

        Raises:
            GraphError: the ops do not suit these sizes.
        """
        inputs = tuple(value.at(sizes) for value in self.inputs)
        return self._with(inputs, lambda op: op.at(sizes))

    def _with(self, inputs: tuple[Value, ...], change: Callable[[Op], Op]) -> Graph:
        """The same graph of other inputs and ops, shared ops still shared."""
        changed: dict[int, Op] = {}
        for node in self.nodes:
            if id(node.op) not in changed:
                changed[id(node.op)] = change(node.op)
        nodes = tuple(dataclasses.replace(node, op=changed[id(node.op)]) for node in self.nodes)
        return Graph(inputs, nodes, self.outputs, self.origin, self.tokenizers, self.alphabet)

    def weights(self) -> dict[str, Mapping]:
        """Every node's weights, ``{node: {path: array}}``, nodes without weights left out."""
        return {node.name: weights for node in self.nodes if (weights := node.op.weights())}

    def parameter_count(self) -> int:
        """How many numbers the weights hold, shared ones counted once."""
        distinct = {id(node.op): node.op for node in self.nodes}
        return sum(
            array.size
            for op in distinct.values()
            for path, array in op.weights().items()
            if path not in op.constant_weights()
        )

    def digest(self) -> str:
        """SHA-256 of structure and weights, in hexadecimal; equal graphs have equal digests."""
        digest = hashlib.sha256(json.dumps(structure(self), sort_keys=True).encode())
        for node in self.nodes:
            for path, array in sorted(node.op.weights().items()):
                digest.update(f"{node.name} {path} {array.dtype.name} {array.shape}".encode())
                # The bytes themselves, not a copy: an embedding may have gigabytes.
                for piece in pieces(array):
                    digest.update(np.ascontiguousarray(piece).reshape(-1).view("uint8").data)
        return digest.hexdigest()


def structure(graph: Graph) -> dict:
    """Everything but the weights as plain data; a node that shares an op names the first to have it.

    Example:
        >>> from biport import ops
        >>> node = Node("y", ops.Dropout(rate=0.5), ("x",))
        >>> structure(Graph((Value("x", ("N", 3), "float32"),), (node,), ("y",)))["nodes"][0]["settings"]
        {'rate': 0.5}
    """
    first: dict[int, str] = {}
    nodes = []
    for node in graph.nodes:
        owner = first.setdefault(id(node.op), node.name)
        entry = {
            "name": node.name,
            "kind": node.op.kind,
            "inputs": list(node.inputs),
            "masks": list(node.masks),
            "outputs": list(node.outputs),
        }
        nodes.append(
            entry | ({"settings": plain(node.op.settings())} if owner == node.name else {"shares": owner})
        )
    return {
        "inputs": [
            {"name": value.name, "shape": list(plain(value.shape)), "dtype": value.dtype}
            for value in graph.inputs
        ],
        "nodes": nodes,
        "outputs": list(graph.outputs),
    }


def body_of(op: Scan) -> Graph:
    """The step of ``op``: of x ``(N, I)``, the states and the constants, the output and the new states.

    Example:
        >>> from biport import ops
        >>> add = Node("y", ops.Add(), ("x", "total"))
        >>> inputs = Value("x", ("N", 3), "float32"), Value("total", ("N", 3), "float32")
        >>> body = Graph(inputs, (add,), ("y", "y"))
        >>> body_of(scan_over(body, state_count=1)) == body
        True
    """
    nodes = (Node(call.name, op.body[call.op], call.inputs, call.outputs, call.masks) for call in op.calls)
    return Graph(op.arguments, tuple(nodes), op.results)


def scan_over(graph: Graph, state_count: int, **settings: Any) -> Scan:
    """The recurrence whose step ``graph`` is, shared ops still shared.

    Args:
        graph: its inputs are x ``(N, I)``, the states ``(N, size)`` and the constants; its outputs what a
            step gives, ``(N, O)``, and the new states.
        state_count: how many states there are.
        settings: those of `biport.ops.Recurrent`.

    Raises:
        GraphError: the graph is no step of so many states.
        UnsupportedError: its sizes are none that a step may have.
    """
    ops = owners(graph)
    keys = _path_names(ops)
    key_of = {id(op): keys[name] for name, op in ops.items()}
    return Scan(
        body={key_of[id(node.op)]: node.op for node in graph.nodes},
        calls=tuple(Call(n.name, key_of[id(n.op)], n.inputs, n.outputs, n.masks) for n in graph.nodes),
        arguments=graph.inputs,
        results=graph.outputs,
        state_count=state_count,
        **settings,
    )


def _path_names(names: Iterable[str]) -> dict[str, str]:
    """Names under which ops may stand in a path: none has a slash, none begins with another and a dot."""
    keys: dict[str, str] = {}
    for name in sorted(names, key=len):
        key = name.replace("/", "_")
        if not all(apart(key, other) for other in keys.values()):
            key = key.replace(".", "_")
        while not all(apart(key, other) for other in keys.values()):
            key += "_"
        keys[name] = key
    return keys


def weight_differences(a: Graph, b: Graph) -> list[str]:
    """Level L0 of the tolerance policy: every weight that is not equal bit for bit, as ``node.path``.

    Weights that several nodes share count once, under the first one's name. A constant counts where both
    have it: in one of them it may stand as a number that nobody gave a name.

    Example:
        >>> from biport import ops
        >>> def average(share):
        ...     node = Node("y", ops.LearnedAverage(weight=np.float32([share])), ("a", "b"))
        ...     inputs = Value("a", ("N", 1), "float32"), Value("b", ("N", 1), "float32")
        ...     return Graph(inputs, (node,), ("y",))
        >>> weight_differences(average(0.5), average(0.25))
        ['y.weight']
    """
    mine, yours = weights_by_path(a), weights_by_path(b)
    constants = {
        f"{node.name}.{path}" for node in (*a.nodes, *b.nodes) for path in node.op.constant_weights()
    }
    return [
        path
        for path in sorted(mine.keys() | yours.keys())
        if not (same_bits(mine[path], yours[path]) if path in mine and path in yours else path in constants)
    ]


def weights_by_path(graph: Graph) -> dict[str, np.ndarray]:
    """Every weight as ``node.path``; those that several nodes share once, under the first one's name."""
    return {
        f"{name}.{path}": array for name, op in owners(graph).items() for path, array in op.weights().items()
    }


def trained(graph: Graph) -> dict[str, np.ndarray]:
    """Those of `weights_by_path` that a model is differentiated by: no `Op.statistics`, no `Op.constants`."""
    kept = {f"{name}.{path}" for name, op in owners(graph).items() for path in op.untrained_weights()}
    return {path: array for path, array in weights_by_path(graph).items() if path not in kept}


def frozen(graph: Graph) -> frozenset[str]:
    """Those of `weights_by_path` that training leaves as they are, see `biport.ops.Learning`.

    Example:
        >>> from biport import ops
        >>> share = ops.LearnedAverage(weight=np.float32([0.5]), learning=ops.Learning(frozen={"weight"}))
        >>> inputs = Value("a", ("N", 1), "float32"), Value("b", ("N", 1), "float32")
        >>> frozen(Graph(inputs, (Node("y", share, ("a", "b")),), ("y",)))
        frozenset({'y.weight'})
    """
    return frozenset(f"{name}.{path}" for name, op in owners(graph).items() for path in op.frozen_weights())


def penalties(graph: Graph) -> dict[str, Penalty]:
    """For those of `weights_by_path` that have one, what they add to the loss; frozen ones add nothing.

    Example:
        >>> from biport import ops
        >>> learning = ops.Learning(penalties={"weight": ops.Penalty(l2=0.01)})
        >>> share = ops.LearnedAverage(weight=np.float32([0.5]), learning=learning)
        >>> inputs = Value("a", ("N", 1), "float32"), Value("b", ("N", 1), "float32")
        >>> penalties(Graph(inputs, (Node("y", share, ("a", "b")),), ("y",)))
        {'y.weight': Penalty(l1=0.0, l2=0.01)}
    """
    return {
        f"{name}.{path}": penalty
        for name, op in owners(graph).items()
        for path, penalty in op.penalties().items()
    }


def unported(graph: Graph) -> list[str]:
    """What a model was trained with that no graph has, such as constraints, a line each, for people."""
    return [
        f"{'.'.join([name, path] if path else [name])}: {setting}"
        for name, op in owners(graph).items()
        for path, learning in op.all_learning().items()
        for setting in learning.unported
    ]


def all_learning(graph: Graph) -> dict[str, Any]:
    """What training does with the weights, as plain data: ``{node: {path of a part: ...}}``.

    It stands beside `structure` and not in it: how a model is trained is no part of what it computes, so that
    graphs which differ in nothing else are equal and have one digest.
    """
    return {
        name: {path: learning.to_json() for path, learning in said.items()}
        for name, op in owners(graph).items()
        if (said := op.all_learning())
    }


def with_learning(graph: Graph, data: Mapping[str, Any]) -> Graph:
    """The graph with what `all_learning` gave, shared ops still shared.

    Raises:
        GraphError: ``data`` is something else, or of another graph.

    Example:
        >>> from biport import ops
        >>> share = ops.LearnedAverage(weight=np.float32([0.5]))
        >>> inputs = Value("a", ("N", 1), "float32"), Value("b", ("N", 1), "float32")
        >>> graph = Graph(inputs, (Node("y", share, ("a", "b")),), ("y",))
        >>> all_learning(with_learning(graph, {"y": {"": {"frozen": ["weight"]}}}))
        {'y': {'': {'frozen': ['weight']}}}
    """
    known = owners(graph)
    if not isinstance(data, Mapping) or not all(isinstance(said, Mapping) for said in data.values()):
        raise GraphError(f"how weights are trained should be a mapping of mappings, found {data!r}")
    if unknown := sorted(data.keys() - known.keys()):
        raise GraphError(f"how weights are trained is said of nodes that have none: {unknown}")
    said = {
        id(known[name]): {path: Learning.from_json(part) for path, part in parts.items()}
        for name, parts in data.items()
    }
    return graph._with(graph.inputs, lambda op: op.with_learning(said.get(id(op), {})))


def owners(graph: Graph) -> dict[str, Op]:
    """Every op once, by the name of the first node that has it."""
    first = {id(node.op): node for node in reversed(graph.nodes)}
    return {node.name: node.op for node in first.values()}


def _row(graph: Graph, node: Node) -> tuple[str, str, str]:
    arguments = [
        name if mask is None else f"{name} | {mask}"
        for name, mask in zip(node.inputs, node.masks, strict=True)
    ]
    tensors = "; ".join(str(graph.tensors[name]) for name in node.outputs)
    return ", ".join(node.outputs), tensors, f"{node.op}({', '.join(arguments)})"


def sum_lengths(graph: Graph) -> list[int]:
    """For each node the length of its longest sum, see `Op.sum_length`; rounding grows with it.

    Example:
        >>> from biport import ops
        >>> inputs = Value("a", ("N", "T", 8), "float32"), Value("b", ("N", "S", 8), "float32")
        >>> sum_lengths(Graph(inputs, (Node("scores", ops.Dot(axes=(2, 2)), ("a", "b")),), ("scores",)))
        [8]
    """
    return [node.op.sum_length([graph.tensors[name] for name in node.inputs]) for node in graph.nodes]
