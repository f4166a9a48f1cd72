"""What a model that reads texts carries besides itself: a vocabulary, and names for its classes."""

from __future__ import annotations

from collections.abc import Sequence

from biport.data.vocabulary import Vocabulary
from biport.errors import InputError, UnsupportedError
from biport.graph import Graph, Node
from biport.inputs import id_bounds
from biport.ops import Activation, Dense, Op, Softmax, TimeDistributed


def check_vocabulary(graph: Graph, vocabulary: Vocabulary) -> None:
    """Refuse a vocabulary that does not go with the graph.

    Raises:
        InputError: it has more tokens than the model has ids.
        UnsupportedError: the model takes something else than one array of ids.
    """
    bounds = id_bounds(graph)
    taken = [f"{value.name} {value.tensor}" for value in graph.inputs]
    if len(graph.inputs) != 1 or not bounds or len(graph.inputs[0].shape) != 2:
        raise UnsupportedError("vocabulary", "inputs", taken, "one input of ids (N, T)")
    (known,) = bounds.values()
    if len(vocabulary) > known:
        raise InputError(
            f"the vocabulary has {len(vocabulary)} tokens and the model ids below {known}: it is of another"
        )


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
    function = output_activation(graph, output)
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


def output_activation(graph: Graph, output: str) -> str:
    """The activation that the numbers of an output come out of; a softmax along its last axis alone.

    Example:
        >>> from biport import ops
        >>> from biport.graph import Value
        >>> node, view = Node("y", ops.Activation(function="sigmoid"), ("x",)), ops.Squeeze(axes=(1,))
        >>> nodes = (node, Node("flat", view, ("y",)))
        >>> graph = Graph((Value("x", ("N", 1), "float32"),), nodes, ("flat",))
        >>> output_activation(graph, "flat")
        'sigmoid'
    """
    makers: dict[str, Node] = {name: node for node in graph.nodes for name in node.outputs}
    moved = False
    while output in makers and (makers[output].op.identity or makers[output].op.moves):
        moved |= makers[output].op.moves
        output = makers[output].inputs[0]
    function = _activation(makers[output].op) if output in makers else "linear"
    return "linear" if moved and function == "softmax" else function


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
