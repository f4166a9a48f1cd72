"""Paddings in numbers as words, or done by ops in front: the same numbers, the same names."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from biport import ops, reference
from biport.graph import Graph, Node, Value
from biport.ops.convolution import CONVOLUTIONS
from biport.ops.pooling import MAXIMA, MEANS
from biport.rewrite.explicit_padding import without_numbers

SIZES = {"N": 2, "T": 7, "H": 6, "W": 5}


def conv(dimensions: int, padding: Any, **settings: Any) -> ops.Convolution:
    size = settings.pop("kernel_size", (3,) * dimensions)
    weight = np.random.default_rng(1).normal(size=(2, 3, *size)).astype("float32")
    return CONVOLUTIONS[dimensions](
        input_size=3, output_size=2, kernel_size=size, padding=padding, weight=weight, bias=None, **settings
    )


def pool(kinds: Any, dimensions: int, **settings: Any) -> ops.Pooling:
    return kinds[dimensions](**settings)


CASES: list[tuple[ops.Op, tuple[Any, ...], list[str]]] = [
    (conv(2, ((1, 1), (1, 1))), ("N", "H", "W", 3), ["same"]),
    (conv(2, ((0, 1), (0, 0)), kernel_size=(2, 1)), ("N", "H", "W", 3), ["same"]),
    (conv(2, ((0, 1), (1, 1)), strides=(2, 1)), ("N", 6, "W", 3), ["same"]),
    (conv(2, ((0, 1), (1, 1)), strides=(2, 1)), ("N", "H", "W", 3), ["ZeroPadding2D", "valid"]),
    (conv(1, ((2, 0),), strides=2), ("N", "T", 3), ["causal"]),
    (conv(1, ((0, 2),)), ("N", "T", 3), ["ZeroPadding1D", "valid"]),
    (pool(MAXIMA, 1, pool_size=3, strides=1, padding=((1, 1),)), ("N", "T", 3), ["same"]),
    (pool(MAXIMA, 2, pool_size=3, strides=2, padding=((1, 1), (2, 0))), ("N", "H", 5, 3), ["Pad", "valid"]),
    (
        pool(MEANS, 1, pool_size=3, strides=2, padding=((2, 1),)),
        ("N", "T", 3),
        ["ZeroPadding1D", "valid", "Full", "ZeroPadding1D", "valid", "Elementwise"],
    ),
    (
        ops.TimeDistributed(layer=pool(MAXIMA, 2, pool_size=2, strides=2, padding=((1, 0), (0, 1)))),
        ("N", 3, "H", 5, 3),
        ["Pad", "valid"],
    ),
    (
        ops.TimeDistributed(layer=conv(2, ((2, 0), (0, 0)))),
        ("N", 3, "H", 5, 3),
        ["ZeroPadding2D", "valid"],
    ),
]


def said(op: ops.Op) -> str:
    """The padding, or what the op is; of what is inside where it is at every step."""
    inner = op.layer if isinstance(op, ops.TimeDistributed) else op
    return str(inner.padding) if isinstance(inner, ops.Convolution | ops.Pooling) else inner.kind


@pytest.mark.parametrize(("op", "shape", "wanted"), CASES)
def test_the_same_numbers(op: ops.Op, shape: tuple[Any, ...], wanted: list[str]) -> None:
    graph = Graph((Value("x", shape, "float32"),), (Node("y", op, ("x",)),), ("y",))
    rewritten = without_numbers(graph)
    assert [said(node.op) for node in rewritten.nodes] == wanted
    assert rewritten.nodes[-1].name == "y"
    given = np.random.default_rng(2).normal(
        size=tuple(SIZES[size] if isinstance(size, str) else size for size in shape)
    )
    (one,), (two,) = reference.run(graph, [given]), reference.run(rewritten, [given])
    np.testing.assert_allclose(one, two, 1e-6, 1e-6)
    assert without_numbers(rewritten) is rewritten


def test_an_op_in_two_places_stays_one() -> None:
    """It is a word only where that is right in both."""
    op = conv(1, ((0, 1),), strides=2)
    inputs = tuple(Value(name, ("N", size, 3), "float32") for name, size in (("x", 8), ("z", 9)))
    nodes = (Node("one", op, ("x",)), Node("two", op, ("z",)))
    rewritten = without_numbers(Graph(inputs, nodes, ("one", "two")))
    assert rewritten["one"].op is rewritten["two"].op
    assert said(rewritten["one"].op) == "valid"
