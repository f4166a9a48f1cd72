"""What a model that reads texts carries besides itself: a tokeniser, and names for its classes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from biport.data.vocabulary import Vocabulary
from biport.dims import Dim
from biport.errors import Argument, InputError, UnsupportedError, shown
from biport.graph import Graph, Node, Value
from biport.inputs import id_bounds
from biport.ops import Activation, Dense, LogSoftmax, Op, PermuteDims, Softmax, Tensor, TimeDistributed
from biport.text.alphabet import Alphabet, Scores
from biport.text.tokenizer import Tokenizer


def with_tokenizer(graph: Graph, given: Vocabulary | Tokenizer | None) -> Graph:
    """The graph with what makes the ids of its one input of ids.

    Args:
        graph: the model, without a tokeniser of its own.
        given: a vocabulary that was fitted, a tokeniser, or ``None`` for nothing more than the graph has.

    Raises:
        InputError: the graph has one already; or ids, or a length of rows, that the model does not take.
        UnsupportedError: the model does not take ids in one of its inputs.

    Example:
        >>> import numpy as np
        >>> from biport import ops
        >>> from biport.graph import Value
        >>> table = ops.Embedding(num_embeddings=3, embedding_dim=1, weight=np.ones((3, 1), "float32"))
        >>> graph = Graph((Value("ids", ("N", "T"), "int32"),), (Node("y", table, ("ids",)),), ("y",))
        >>> with_tokenizer(graph, Tokenizer(("good",), length=2)).tokenizers["ids"].encode("good one")
        [2, 1]
    """
    if given is None:
        return graph
    if graph.tokenizers:
        raise InputError(
            f"the model has a tokeniser of its own, of the input {next(iter(graph.tokenizers))!r}; no "
            "vocabulary can be given beside it"
        )
    tokenizer = given.tokenizer() if isinstance(given, Vocabulary) else given
    return dataclasses.replace(
        graph, tokenizers=tokenizer_of_input(tokenizer, graph.inputs, id_bounds(graph))
    )


def tokenizer_of_input(
    tokenizer: Tokenizer, values: Sequence[Value], bounds: Mapping[str, int]
) -> dict[str, Tokenizer]:
    """The tokeniser by the name of the one input that it can make ids for.

    Args:
        tokenizer: what makes ids of texts.
        values: the inputs of a model.
        bounds: how many ids those have that are of ids.

    Raises:
        InputError: ids, or a length of rows, that the model does not take.
        UnsupportedError: the model does not take ids in one of its inputs.
    """
    taken = [value for value in values if value.name in bounds and len(value.shape) == 2]
    if len(taken) != 1:
        shown = [f"{value.name} {value.tensor}" for value in values]
        raise UnsupportedError("vocabulary", "inputs", shown, "one input of ids (N, T)")
    (value,) = taken
    _check_ids(tokenizer, bounds[value.name])
    steps = value.shape[1]
    if isinstance(steps, int) and tokenizer.length not in (None, steps):
        raise InputError(f"rows are cut or padded to {tokenizer.length}, and the model takes {steps} steps")
    return {value.name: dataclasses.replace(tokenizer, source=value.name)}


def _check_ids(tokenizer: Tokenizer, known: int) -> None:
    if tokenizer.padding_id >= known:
        raise InputError(
            f"rows are padded with {tokenizer.padding_id}, and the model has ids below {known}: ",
            Argument("padding_id", "..."),
            " says another",
        )
    if tokenizer.largest_id >= known:
        raise InputError(
            f"the vocabulary has ids up to {tokenizer.largest_id:,} and the model ids below {known:,}: it is "
            "of another, or its model was trained with fewer (num_words)"
        )


def unsaid_lengths(values: Sequence[Value], tokenizers: Mapping[str, Tokenizer], masked: bool) -> str:
    """Why texts may get other numbers than when the model was trained: nothing says how long its rows were.

    Args:
        values: the model's inputs.
        tokenizers: by the names of those that are ids of texts.
        masked: whether the model does not see padding.

    Returns:
        Empty where it does not, or every row has one length.
    """
    steps = {value.name: value.shape[1] for value in values if len(value.shape) > 1}
    for name, tokenizer in tokenizers.items():
        if masked or tokenizer.split == "none" or tokenizer.length is not None or name not in steps:
            continue
        fixed = isinstance(steps[name], int)
        become = f"others than of {steps[name]} tokens are refused" if fixed else _AS_LONG
        return (
            f"input {name!r}: the model may see padding, and nothing says to how many steps texts were cut "
            f"and padded when it was trained: {become}; exporting it with their length (maxlen) and the end "
            "that was padded says it"
        )
    return ""


_AS_LONG = "each is run as long as it is, and may get another label than then"


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


def with_alphabet(graph: Graph, characters: Sequence[str], blank: int, scores: Scores | None = None) -> Graph:
    """The graph with labels for the classes of its first output, a sequence of CTC.

    Args:
        graph: the model.
        characters: what its classes are called, in order, without the blank.
        blank: the class that stands for nothing.
        scores: what the numbers of the output are; by default what they come out of says it.

    Raises:
        InputError: there are more or fewer labels than classes.
        UnsupportedError: the output is no such sequence.

    Example:
        >>> from biport import ops
        >>> node = Node("y", ops.Activation(function="softmax"), ("x",))
        >>> graph = Graph((Value("x", ("N", "T", 3), "float32"),), (node,), ("y",))
        >>> with_alphabet(graph, "ab", blank=2).alphabet
        Alphabet(characters=('a', 'b'), blank=2, scores='probabilities')
    """
    output = graph.outputs[0]
    check_characters(characters, graph.inputs[0].shape[0], output, graph.tensors[output])
    alphabet = Alphabet(tuple(characters), blank, scores or scores_of(graph, output))
    return dataclasses.replace(graph, alphabet=alphabet)


def check_characters(characters: Sequence[str], batch: Dim, name: str, tensor: Tensor) -> None:
    """Refuse labels that are not those of an output.

    Args:
        characters: the labels, without the blank.
        batch: the size of the batch.
        name: of the output.
        tensor: it: ``(N, T, C)``, or ``(T, N, C)`` as torch has sequences.

    Raises:
        InputError: it has more or fewer classes.
        UnsupportedError: it is no such sequence.
    """
    shape = tensor.shape
    if len(shape) != 3 or batch not in shape[:2]:
        supported = "a sequence of CTC, (N, T, C) or (T, N, C)"
        raise UnsupportedError(f"characters of output {name!r}", "shape", str(tensor), supported)
    if isinstance(shape[2], int) and len(characters) + 1 != shape[2]:
        raise InputError(
            f"output {name!r} has {shape[2]} classes, one of them the blank: ",
            Argument("characters"),
            f" should be {shape[2] - 1}, found {len(characters)}, {shown(''.join(characters))}",
        )


def scores_of(graph: Graph, output: str) -> Scores:
    """What the numbers of an output are along its last axis, by what they come out of.

    Raises:
        UnsupportedError: an activation that gives neither a distribution nor logits.
    """
    makers: dict[str, Node] = {name: node for node in graph.nodes for name in node.outputs}
    name = output
    while name in makers and (makers[name].op.identity or _keeps_features(makers[name].op)):
        name = makers[name].inputs[0]
    op = makers[name].op if name in makers else None
    function = _distribution(op, len(graph.tensors[name].shape))
    if function not in _KINDS:
        raise UnsupportedError(
            f"characters of output {output!r}",
            "activation",
            function,
            "softmax, log_softmax or linear over the classes; or say what its numbers are (scores)",
        )
    return _KINDS[function]


_KINDS: Mapping[str, Scores] = {
    "softmax": "probabilities",
    "log_softmax": "log_probabilities",
    "linear": "logits",
}


def _distribution(op: Op | None, rank: int) -> str:
    """The activation over the last axis that an op gives its numbers out of, or the op."""
    match op:
        case TimeDistributed():
            return _distribution(op.layer, rank - 1)
        case Activation():
            return op.function
        case Softmax() if set(op.axes) <= {-1, rank - 1}:
            return "softmax"
        case LogSoftmax() if op.axis in (-1, rank - 1):
            return "log_softmax"
    return str(getattr(op, "activation", "no layer" if op is None else op))


def _keeps_features(op: Op) -> bool:
    return isinstance(op, PermuteDims) and op.axes[-1] == len(op.axes) - 1


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
