"""The states of recurrent layers as inputs and outputs of a graph, so that a call goes on from another."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection

from biport import ops
from biport.errors import UnsupportedError
from biport.graph import Graph, Node, Value
from biport.inputs import BATCH
from biport.ops import Op

NEXT = "_next"
"""What the name of a state ends in once the steps of a call are done."""
FORWARD = "layers that scan forwards: the backward direction begins at the end, which is still to come"


def explicit_states(graph: Graph, layers: Collection[str] | None = None) -> Graph:
    """The graph with states of recurrent layers as inputs and outputs, behind those it has.

    A state of the layer ``lstm`` goes in as ``lstm.h``, ``(N, H)``, and comes out as ``lstm.h_next``. Given
    zeros it computes what it did; given what came out of one call, the next goes on where that one ended.

    Args:
        graph: the model.
        layers: the names of the recurrent nodes; by default all those that start every call from zeros.

    Raises:
        UnsupportedError: one of them scans backwards, or scans other rows than the batch's.

    Example:
        >>> import numpy as np
        >>> weights = dict.fromkeys(("weight_ih", "weight_hh"), {"h": np.ones((3, 3), "float32")})
        >>> cell = ops.RNN(input_size=3, hidden_size=3, **weights, bias_ih=None, bias_hh=None)
        >>> graph = Graph((Value("x", ("N", "T", 3), "float32"),), (Node("rnn", cell, ("x",)),), ("rnn",))
        >>> stepped = explicit_states(graph)
        >>> [value.name for value in stepped.inputs], stepped.outputs
        (['x', 'rnn.h'], ('rnn', 'rnn.h_next'))
    """
    names = set(starting_from_zeros(graph) if layers is None else layers)
    taken = {node.name for node in graph.nodes} | set(graph.tensors)
    changed: dict[int, Op] = {}
    inputs, nodes, outputs = list(graph.inputs), [], list(graph.outputs)
    for node in graph.nodes:
        if node.name not in names:
            nodes.append(node)
            continue
        op = _forward(graph, node)
        states = [_free(f"{node.name}.{name}", taken) for name in op.state_names]
        after = [_free(f"{name}{NEXT}", taken) for name in states]
        dtype = graph.tensors[node.outputs[0]].dtype
        shapes = op.state_shapes(graph.tensors[node.inputs[0]].shape[2:])
        inputs += [Value(name, (BATCH, *shape), dtype) for name, shape in zip(states, shapes, strict=True)]
        outputs += after
        # Nodes that share their weights go on sharing them.
        giving = changed.setdefault(id(op), dataclasses.replace(op, return_state=True))
        given = node.outputs if op.return_state else (*node.outputs, *after)
        x, _, constants = op.split(node.inputs)
        read = (x, *states, *constants)
        masks = (node.masks[0], *(None for _ in read[1:]))
        nodes.append(Node(node.name, giving, read, given, masks))
        if op.return_state:
            nodes += [
                Node(name, ops.Identity(), (last,))
                for name, last in zip(after, node.outputs[1:], strict=True)
            ]
    return dataclasses.replace(graph, inputs=tuple(inputs), nodes=tuple(nodes), outputs=tuple(outputs))


def starting_from_zeros(graph: Graph) -> list[str]:
    """The recurrent nodes that nothing gives initial states."""
    return [node.name for node in graph.nodes if _starts_from_zeros(node)]


def _starts_from_zeros(node: Node) -> bool:
    if isinstance(node.op, ops.Recurrent):
        return not node.op.split(node.inputs)[1]
    return isinstance(node.op, ops.Bidirectional) and len(node.inputs) == 1


def _forward(graph: Graph, node: Node) -> ops.Recurrent:
    """The op of a node whose states can be handed on.

    Raises:
        UnsupportedError: they cannot.
    """
    owner = f"states of layer {node.name!r} ({node.op.kind})"
    op = node.op
    if isinstance(op, ops.Bidirectional):
        raise UnsupportedError(owner, "direction", "both", FORWARD)
    assert isinstance(op, ops.Recurrent)
    if op.reverse:
        raise UnsupportedError(owner, "reverse", True, FORWARD)
    if op.split(node.inputs)[1]:
        raise UnsupportedError(
            owner, "initial_state", op.split(node.inputs)[1][0], "layers that start from zeros"
        )
    rows = graph.tensors[node.inputs[0]].shape[0]
    if rows != BATCH:
        raise UnsupportedError(owner, "rows", str(rows), "layers that scan the rows of the batch")
    return op


def _free(name: str, taken: set[str]) -> str:
    """``name``, or one like it that no value or node has."""
    while name in taken:
        name += "_"
    taken.add(name)
    return name
