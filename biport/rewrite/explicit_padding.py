"""Paddings in numbers, which Keras lacks, as its words or as ops in front that pad."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import TypeAlias

import numpy as np

from biport import ops
from biport.dims import Dim
from biport.graph import Graph, Node
from biport.ops import Convolution, Op, Pooling, SeparableConvolution, Tensor
from biport.ops.shape import ZERO_PADDINGS
from biport.ops.windows import Pairs

Windowed: TypeAlias = Convolution | Pooling


def without_numbers(graph: Graph) -> Graph:
    """The graph with every padding in numbers as a word, or done by ops in front.

    It is ``"same"`` or ``"causal"`` where that pads just as much, whatever the sizes that vary; else a
    convolution has a `ZeroPadding1D` or its like in front, a maximum a `Pad` of what is less than any number.
    Means are taken over zeros too, and divided by the share of each window that is no padding. Nodes keep
    their names. A graph without such paddings is given back as it is.

    Example:
        >>> from biport.graph import Value
        >>> pool = ops.MaxPooling1D(pool_size=3, strides=2, padding=((1, 1),))
        >>> x = Value("x", ("N", "T", 3), "float64")
        >>> print(without_numbers(Graph((x,), (Node("y", pool, ("x",)),), ("y",))))
        graph(x: float64 (N, T, 3)) -> y
          y.padded : float64 (N, T+2, 3)      = Pad(widths=((0, 0), (1, 1), (0, 0)), value=-inf)(x)
          y        : float64 (N, (T+1)//2, 3) = MaxPooling1D(pool_size=(3,), strides=(2,))(y.padded)
    """
    if not any(_is_explicit(node.op) for node in graph.nodes):
        return graph
    words = _words(graph)
    known: dict[int, Op] = {}
    taken = {*graph.tensors, *(node.name for node in graph.nodes)}
    nodes = [new for node in graph.nodes for new in _without(node, graph, words, known, taken)]
    return dataclasses.replace(graph, nodes=tuple(nodes))


def _windowed(op: Op) -> Windowed | None:
    """The op that has the windows: this one, or a part of it."""
    if isinstance(op, SeparableConvolution):
        return op.depthwise
    if isinstance(op, ops.TimeDistributed):
        return _windowed(op.layer)
    return op if isinstance(op, Convolution | Pooling) else None


def _is_explicit(op: Op) -> bool:
    windowed = _windowed(op)
    return windowed is not None and not isinstance(windowed.padding, str)


def _with_padding(op: Op, padding: str) -> Op:
    """The op, or its part, with a word in place of numbers."""
    if isinstance(op, SeparableConvolution):
        return dataclasses.replace(op, depthwise=dataclasses.replace(op.depthwise, padding=padding))
    if isinstance(op, ops.TimeDistributed):
        return dataclasses.replace(op, layer=_with_padding(op.layer, padding))
    assert isinstance(op, Convolution | Pooling)
    return dataclasses.replace(op, padding=padding)


def _words(graph: Graph) -> dict[int, str]:
    """By the identity of an op with numbers: the word that says the same wherever it is applied."""
    said: dict[int, set[str | None]] = {}
    for node in graph.nodes:
        windowed = _windowed(node.op)
        if windowed is not None and not isinstance(windowed.padding, str):
            sizes = graph.tensors[node.inputs[0]].shape[-1 - windowed.dimensions : -1]
            words = said.setdefault(id(node.op), set())
            words.add(_word(windowed, windowed.padding, sizes))
    return {key: word for key, words in said.items() if len(words) == 1 for word in words if word}


def _spans(op: Windowed) -> Sequence[int]:
    return op.pool_size if isinstance(op, Pooling) else op.spans


def _word(op: Windowed, padding: Pairs, sizes: Sequence[Dim]) -> str | None:
    axes = list(zip(sizes, _spans(op), op.strides, padding, strict=True))
    if all(_is_same(*along) for along in axes):
        return "same"
    causal = isinstance(op, ops.Conv1D) and padding == ((op.spans[0] - 1, 0),)
    return "causal" if causal else None


def _is_same(size: Dim, span: int, stride: int, pair: tuple[int, int]) -> bool:
    """Whether a padding is that of ``"same"``, which depends on the size where windows are further apart."""
    if stride == 1:
        total = span - 1
    elif isinstance(size, int):
        total = max((-(-size // stride) - 1) * stride + span - size, 0)
    else:
        return False
    return pair == (total // 2, total - total // 2)


def _without(
    node: Node, graph: Graph, words: dict[int, str], known: dict[int, Op], taken: set[str]
) -> Iterator[Node]:
    windowed = _windowed(node.op)
    if windowed is None or isinstance(windowed.padding, str):
        yield node
        return
    op = known.setdefault(id(node.op), _with_padding(node.op, words.get(id(node.op), "valid")))
    if id(node.op) in words:
        yield dataclasses.replace(node, op=op)
        return
    padded = _free(f"{node.name}.padded", taken)
    yield Node(padded, _padding(node.op, graph.tensors[node.inputs[0]]), node.inputs[:1])
    if not isinstance(windowed, ops.AveragePooling):
        yield dataclasses.replace(node, op=op, inputs=(padded,))
        return
    of_zeros, share = _free(f"{node.name}.of_zeros", taken), _free(f"{node.name}.share", taken)
    yield Node(of_zeros, op, (padded,))
    yield from _share(windowed, windowed.padding, graph.tensors[node.inputs[0]], share, taken)
    yield Node(node.name, ops.Elementwise(function="divide"), (of_zeros, share), node.outputs)


def _padding(op: Op, x: Tensor) -> Op:
    """What pads in front of an op: with zeros, or with less than any number."""
    if isinstance(op, ops.TimeDistributed):
        inner = _padding(op.layer, op.inner(x))
        if not isinstance(inner, ops.Pad):
            return ops.TimeDistributed(layer=inner)
        return dataclasses.replace(inner, widths=((0, 0), *inner.widths))
    windowed = _windowed(op)
    assert windowed is not None
    assert not isinstance(windowed.padding, str)
    if isinstance(windowed, ops.MaxPooling):
        return ops.Pad(widths=((0, 0), *windowed.padding, (0, 0)), value=-float("inf"))
    return ZERO_PADDINGS[windowed.dimensions](padding=windowed.padding)


def _share(op: ops.AveragePooling, padding: Pairs, x: Tensor, name: str, taken: set[str]) -> Iterator[Node]:
    """How much of each window is no padding, ``(1, *T', 1)``."""
    ones, padded = _free(f"{name}.ones", taken), _free(f"{name}.padded", taken)
    sizes = x.shape[-1 - op.dimensions : -1]
    fixed = [size for size in sizes if isinstance(size, int)]
    if len(fixed) == len(sizes):
        yield Node(ones, ops.Constant(value=np.ones((1, *fixed, 1), x.dtype)), ())
    else:
        yield Node(ones, ops.Full(shape=(1, *sizes, 1), value=1.0, output_dtype=x.dtype), ())
    yield Node(padded, ZERO_PADDINGS[op.dimensions](padding=padding), (ones,))
    yield Node(name, dataclasses.replace(op, padding="valid"), (padded,))


def _free(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    taken.add(name)
    return name
