"""From a model's scores to the names of its classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from biport.errors import InputError, UnsupportedError
from biport.graph import Graph, Node
from biport.ops import Activation, Dense, Dropout, Identity, Op, Softmax, TimeDistributed


def label_of(labels: Sequence[str], scores: np.ndarray) -> tuple[Any, Any]:
    """The label with the largest share of ``scores``, and that share; of ``(T, O)`` a list of either.

    One score is the probability of the second of two labels, which has it from 0.5 on.
    """
    if scores.ndim > 1:
        pairs = [label_of(labels, step) for step in scores]
        return [label for label, _ in pairs], [share for _, share in pairs]
    shares = scores if len(scores) > 1 else np.array([1 - scores[0], scores[0]])
    # The last of equal ones, so that 0.5 is the second of two labels.
    best = len(shares) - 1 - int(np.argmax(shares[::-1]))
    return labels[best], float(shares[best])


def check_labels(graph: Graph, labels: Sequence[str]) -> tuple[str, ...]:
    """The labels, if they go with the graph's first output: O of them over a softmax, two over one sigmoid.

    Raises:
        InputError: there are more or fewer, one is there twice, empty, or does not fit on a line.
        UnsupportedError: the output holds no probabilities.
    """
    if isinstance(labels, str) or not all(isinstance(name, str) for name in labels):
        raise InputError(f"labels should be several texts, found {labels!r}")
    if len(set(labels)) < len(labels) or not all(name.strip() and name.isprintable() for name in labels):
        raise InputError(f"labels should all differ, be printable and not empty, found {list(labels)}")
    output = graph.outputs[0]
    size = graph.tensors[output].shape[-1]
    function = _function(graph, output)
    if function not in (("sigmoid",) if size == 1 else ("softmax",)):
        raise UnsupportedError(
            f"labels of output {output!r}, of size {size}",
            "activation",
            function,
            "softmax, or sigmoid where the size is 1",
        )
    wanted = 2 if size == 1 else size
    if len(labels) != wanted:
        raise InputError(f"output {output!r} has {wanted} classes, found {len(labels)} labels {list(labels)}")
    return tuple(labels)


def _function(graph: Graph, output: str) -> str:
    """The activation that the output comes out of."""
    makers: dict[str, Node] = {name: node for node in graph.nodes for name in node.outputs}
    while output in makers and isinstance(makers[output].op, Dropout | Identity):
        output = makers[output].inputs[0]
    return _activation(makers[output].op) if output in makers else "linear"


def _activation(op: Op) -> str:
    match op:
        case TimeDistributed():
            return _activation(op.layer)
        case Dense():
            return op.activation
        case Activation():
            return op.function
        case Softmax(axes=(-1,)):
            return "softmax"
    return "linear"
