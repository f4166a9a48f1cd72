"""Which inputs of a graph are states, and which outputs are these states after the steps."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from biport import ops, reference
from biport.analysis.lengths import needed_steps
from biport.compare.cases import random_inputs
from biport.errors import BiportError
from biport.graph import Graph, Node
from biport.inputs import row_lengths, safe_bounds, time_axis
from biport.ops import FLOATS, same_bits

ROWS = 2


def state_pairs(graph: Graph) -> dict[str, str]:
    """For each input that is a state the output that is the same state after the steps.

    Where no step is taken a state comes out as it went in, whatever slices it on the way to its layer, and
    stacks it on the way out. So the graph is computed with every recurrent layer giving the states that it
    was given, and what comes out that went in is a state.

    Example:
        >>> import numpy as np
        >>> from biport.graph import Value
        >>> weights = dict.fromkeys(("weight_ih", "weight_hh"), {"h": np.ones((3, 3), "float32")})
        >>> settings = weights | {"bias_ih": None, "bias_hh": None, "return_state": True}
        >>> cell = ops.RNN(input_size=3, hidden_size=3, **settings)
        >>> values = Value("x", ("N", "T", 3), "float32"), Value("before", ("N", 3), "float32")
        >>> node = Node("rnn", cell, ("x", "before"), ("last", "after"))
        >>> state_pairs(Graph(values, (node,), ("last", "after")))
        {'before': 'after'}
    """
    carried = _carried(graph)
    candidates = [
        (value.name, output)
        for value in graph.inputs
        for output in graph.outputs
        if value.dtype in FLOATS and output in carried and graph.tensors[output] == value.tensor
    ]
    if not candidates:
        return {}
    # What a layer gives as a state comes before its last output, which is the same.
    last = {node.outputs[0] for node in graph.nodes if _output_state(node) is not None}
    candidates.sort(key=lambda pair: pair[1] in last)
    needed = needed_steps(graph)
    steps = {
        str(value.shape[axis]): needed[value.name].size if value.name in needed else 1
        for value in graph.inputs
        if (axis := time_axis(value.shape)) is not None and not isinstance(value.shape[axis], int)
    }
    rng = np.random.default_rng(0)
    others = max(steps.values(), default=1)
    arrays = random_inputs(
        graph.inputs,
        ROWS,
        _Steps(steps, others),
        rng,
        id_bounds=safe_bounds(graph),
        rows=row_lengths(graph),
    )
    try:
        values = reference.trace(_resting(graph), arrays, "float32")
    except (BiportError, ValueError, IndexError):
        # Sizes that the model does not take.
        return {}
    given = {value.name: array for value, array in zip(graph.inputs, arrays, strict=True)}
    pairs: dict[str, str] = {}
    for state, output in candidates:
        alone = state not in pairs and output not in pairs.values()
        if alone and same_bits(given[state].astype("float32"), values[output]):
            pairs[state] = output
    return pairs


class _Steps(dict[str, int]):
    """How long each letter is; those that belong to no input's steps are as long as the longest."""

    def __init__(self, steps: Mapping[str, int], others: int) -> None:
        super().__init__(steps)
        self._others = others

    def __missing__(self, letter: str) -> int:
        return self._others


def _carried(graph: Graph) -> set[str]:
    """The values that states are read from which a recurrent layer gives."""
    carried: set[str] = set()
    for node in graph.nodes:
        if not carried.isdisjoint(node.inputs):
            carried |= set(node.outputs)
        carried |= {name for _, names in states_of(node) for name in names}
    return carried


def states_of(node: Node) -> list[tuple[str, list[str]]]:
    """For each state that a recurrent node is given, this value, and what is the state after the steps."""
    op = node.op
    if not isinstance(op, ops.Recurrent | ops.Bidirectional):
        return []
    count = len(op.state_sizes)
    initial = op.split(node.inputs)[1] if isinstance(op, ops.Recurrent) else node.inputs[1:]
    given = op.forward.return_state if isinstance(op, ops.Bidirectional) else op.return_state
    after = [[name] for name in node.outputs[-count:]] if given else [[] for _ in initial]
    at = _output_state(node)
    if at is not None and initial:
        after[at].append(node.outputs[0])
    return list(zip(initial, after, strict=bool(initial)))


def _output_state(node: Node) -> int | None:
    """Which of its states a recurrent node gives as the output of the last step."""
    op = node.op
    # Where all steps are masked, that is zeros.
    if (
        not isinstance(op, ops.Cell | ops.StackedRNN | ops.ConvolutionalLSTM)
        or op.return_sequences
        or node.masks[0] is not None
    ):
        return None
    cell = op.cells[-1] if isinstance(op, ops.StackedRNN) else op
    return len(op.state_sizes) - len(cell.states)


def _resting(graph: Graph) -> Graph:
    """The graph in which every state is after the steps what it was before them."""
    nodes = []
    taken = set(graph.tensors) | {node.name for node in graph.nodes}
    for node in graph.nodes:
        states = {name: initial for initial, names in states_of(node) for name in names}
        unused = {name: _free(f"{name}.stepped", taken) for name in states}
        outputs = tuple(unused.get(name, name) for name in node.outputs)
        nodes.append(dataclasses.replace(node, outputs=outputs))
        nodes += [
            Node(_free(f"{name}.before", taken), ops.Identity(), (initial,), (name,))
            for name, initial in states.items()
        ]
    return dataclasses.replace(graph, nodes=tuple(nodes))


def _free(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    taken.add(name)
    return name
