"""Where rows of a batch meet: found by shapes, and by what ops say; and who goes by it."""

from __future__ import annotations

import numpy as np
import pytest

from biport import ops
from biport.analysis.rows import row_axes, where_rows_meet
from biport.dims import letter
from biport.errors import UnsupportedError
from biport.graph import Graph, Node, Value
from biport.rewrite.encoder_decoder import split
from testing.graphs import embedding, lstm

N, T = letter("N"), letter("T")
X = Value("x", ("N", "T", 4), "float32")
IDS = Value("ids", ("N", "T"), "int32")
TABLE = ops.Parameter(value=np.ones((9, 4), "float32"))
APART: dict[str, tuple[Node, ...]] = {
    "sum over time": (Node("y", ops.Reduction(function="sum", axes=(1, -1)), ("x",)),),
    "softmax over time": (Node("y", ops.Softmax(axis=(1, 2)), ("x",)),),
    "sorted steps": (Node("y", ops.Sort(axis=-2), ("x",)),),
    "a table": (Node("table", TABLE, ()), Node("y", ops.Take(axis=0), ("table", "ids"))),
    "products": (Node("y", ops.Einsum(equation="nti,nsi->nts"), ("x", "x")),),
    "zeros": (Node("y", ops.Full(shape=(N, 4), value=0.0), ()),),
    "flipped": (Node("y", ops.Flip(axes=(1, 2)), ("x",)),),
    "reshaped": (Node("y", ops.ReshapeTo(shape=(N, T * 4)), ("x",)),),
    "inside": (Node("y", ops.TimeDistributed(layer=ops.Softmax()), ("x",)),),
}
MEETING: dict[str, tuple[Node, ...]] = {
    "sum of all": (Node("y", ops.Reduction(function="sum", axes=(0, 1)), ("x",)),),
    "sum of rows, kept": (Node("y", ops.Reduction(function="sum", axes=(-3,), keepdims=True), ("x",)),),
    "softmax over rows": (Node("y", ops.Softmax(axis=0), ("x",)),),
    "over time and rows": (Node("y", ops.Softmax(axis=(1, -3)), ("x",)),),
    "logarithm of it": (Node("y", ops.LogSoftmax(axis=-3), ("x",)),),
    "running sum": (Node("y", ops.CumulativeSum(axis=0), ("x",)),),
    "sorted": (Node("y", ops.Sort(axis=0), ("x",)),),
    "largest": (Node("y", ops.TopK(k=2, axis=0), ("x",), ("y", "at")),),
    "positions": (Node("y", ops.ArgReduction(function="argmax", axis=0, keepdims=True), ("x",)),),
    "taken": (
        Node("at", ops.Reduction(function="sum", axes=(1,)), ("ids",)),
        Node("y", ops.Take(axis=0), ("x", "at")),
    ),
    "taken along": (
        Node("at", ops.ArgSort(axis=1), ("x",)),
        Node("y", ops.TakeAlongAxis(axis=0), ("x", "at")),
    ),
    "flipped": (Node("y", ops.Flip(axes=(0,)), ("x",)),),
    "rolled": (Node("y", ops.Roll(shift=1, axis=0), ("x",)),),
    "products": (Node("y", ops.Einsum(equation="nti,mti->nt"), ("x", "x")),),
    "moved": (Node("y", ops.PermuteDims(axes=(1, 0, 2)), ("x",)),),
    "joined": (Node("y", ops.ReshapeTo(shape=(N * T, 4)), ("x",)),),
    "counted": (Node("y", ops.SizeOf(size=N), ()),),
    "numbered": (Node("y", ops.Arange(stop=N), ()),),
    "inside": (Node("y", ops.TimeDistributed(layer=ops.Softmax(axis=0)), ("x",)),),
}


def graph_of(nodes: tuple[Node, ...]) -> Graph:
    return Graph((X, IDS), nodes, nodes[-1].outputs)


@pytest.mark.parametrize("name", APART)
def test_apart(name: str) -> None:
    assert where_rows_meet(graph_of(APART[name])) is None


@pytest.mark.parametrize("name", MEETING)
def test_meeting(name: str) -> None:
    nodes = MEETING[name]
    assert where_rows_meet(graph_of(nodes)) == nodes[-1]


TURNED = Node("turned", ops.PermuteDims(axes=(1, 0, 2)), ("x",))
HEAD = Node("head", ops.LogSoftmax(axis=2), ("turned",))


@pytest.mark.parametrize(
    ("nodes", "axes"),
    [
        ((TURNED,), (1,)),
        ((TURNED, HEAD), (1,)),
        ((TURNED, HEAD, Node("y", ops.Add(), ("head", "turned"))), (1,)),
        ((TURNED, HEAD, Node("y", ops.PermuteDims(axes=(1, 0, 2)), ("head",))), (0,)),
        ((TURNED, HEAD, Node("y", ops.PermuteDims(axes=(2, 1, 0)), ("head",))), (1,)),
        ((TURNED, HEAD, Node("y", ops.PermuteDims(axes=(0, 2, 1)), ("head",))), None),
        ((TURNED, Node("y", ops.Softmax(axis=1), ("turned",))), None),
        ((TURNED, Node("y", ops.Softmax(axis=0), ("turned",))), None),
        ((TURNED, Node("y", ops.Reduction(function="sum", axes=(1,)), ("turned",))), None),
        ((TURNED, Node("y", ops.Flip(axes=(1,)), ("turned",))), None),
        ((TURNED, Node("y", ops.ReshapeTo(shape=(T, N * 4)), ("turned",))), None),
        ((TURNED, Node("y", ops.GlobalAveragePooling1D(), ("turned",))), None),
    ],
)
def test_rows_may_lie_along_the_second_axis(nodes: tuple[Node, ...], axes: tuple[int, ...] | None) -> None:
    assert row_axes(graph_of(nodes)) == axes


@pytest.mark.parametrize("name", APART)
def test_rows_apart_lie_along_the_first(name: str) -> None:
    assert row_axes(graph_of(APART[name])) == (0,)


@pytest.mark.parametrize("name", sorted(MEETING.keys() - {"moved"}))
def test_rows_that_meet_lie_nowhere(name: str) -> None:
    assert row_axes(graph_of(MEETING[name])) is None


def test_decoding_is_row_by_row() -> None:
    """Sources are decoded in batches of equal length, and rows leave a batch when they are done."""
    rng = np.random.default_rng(0)
    inputs = Value("source", ("N", "S"), "int32"), Value("target", ("N", "T"), "int32")
    apart = Node("encoder", lstm(rng, 3, 4), ("read",))
    nodes = (
        Node("read", embedding(rng, 3), ("source",)),
        Node("mixed", ops.Softmax(axis=0), ("read",)),
        Node("encoder", lstm(rng, 3, 4), ("mixed",)),
        Node("known", embedding(rng, 3), ("target",)),
        Node("step", lstm(rng, 3, 4, return_sequences=True), ("known", "encoder", "encoder")),
    )
    split(Graph(inputs, (nodes[0], apart, *nodes[3:]), ("step",)))
    with pytest.raises(UnsupportedError, match="mixed"):
        split(Graph(inputs, nodes, ("step",)))
