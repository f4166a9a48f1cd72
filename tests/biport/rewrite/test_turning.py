"""Axes that are turned, as torch has its channels in front: what is done to them, and what turns are left."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

import biport.reference as reference
from biport import ops
from biport.dims import sizes
from biport.graph import Graph, Node, Value
from biport.rewrite.simplify import simplify

C, H, W = 4, 3, 2
FRONT, BEHIND = ops.PermuteDims(axes=(0, 3, 1, 2)), ops.PermuteDims(axes=(0, 2, 3, 1))
RELU = ops.Activation(function="relu")


def numbers(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape)


def parameter(*shape: int) -> ops.Parameter:
    return ops.Parameter(value=numbers(*shape))


def normal(**settings: Any) -> ops.BatchNormalization:
    parts = {name: numbers(C) for name in ("weight", "bias", "mean")}
    return ops.BatchNormalization(size=C, variance=np.abs(numbers(C)) + 0.1, **parts, **settings)


def cut(*items: Any) -> ops.Slice:
    return ops.Slice(items=tuple((None, None, 1) if item is None else item for item in items))


def one(op: ops.Op) -> list[Node]:
    return [Node("y", op, ("turned",))]


def with_other(op: ops.Op, other: ops.Op, *inputs: str) -> list[Node]:
    return [Node("other", other, inputs), Node("y", op, ("turned", "other"))]


ADD = ops.Elementwise(function="add")
SAME_RANK: dict[str, list[Node]] = {
    "each element": one(RELU),
    "batch": one(normal(axis=1)),
    "groups": one(ops.GroupNormalization(groups=2, axis=1, weight=numbers(C), bias=numbers(C))),
    "all of a row": one(
        ops.LayerNormalization(axes=(-3, -2, -1), weight=numbers(C, H, W), bias=numbers(C, H, W))
    ),
    "rows and columns": one(ops.LayerNormalization(axes=(-2, -1), weight=numbers(H, W), bias=numbers(H, W))),
    "length": one(ops.UnitNormalization(axes=(1,))),
    "slopes": one(ops.PReLU(alpha=numbers(C, 1, 1))),
    "softmax": one(ops.Softmax(axis=1)),
    "softmax of the last": one(ops.Activation(function="softmax")),
    "sums": one(ops.CumulativeSum(axis=2)),
    "mean": one(ops.Reduction(function="mean", axes=(2, 3), keepdims=True)),
    "padded": one(ops.Pad(widths=((0, 0), (0, 0), (1, 2), (0, 1)), value=0.5)),
    "cut": one(cut(None, None, (1, None, 1))),
    "flipped": one(ops.Flip(axes=(2,))),
    "repeated": one(ops.Repeat(repeats=2, axis=3)),
    "tiled": one(ops.Tile(repetitions=sizes((1, 2, 1, 3)))),
    "stretched": one(ops.BroadcastTo(shape=sizes(("N", C, H, W)))),
    "sorted": one(ops.Sort(axis=1)),
    "added to itself": [
        Node("relu", RELU, ("turned",)),
        Node("sigmoid", ops.Activation(function="sigmoid"), ("relu",)),
        Node("y", ops.Multiply(), ("relu", "sigmoid")),
    ],
    "side by side": [Node("relu", RELU, ("turned",)), Node("y", ops.Concatenate(axis=1), ("relu", "turned"))],
    "a bias of each channel": with_other(ADD, parameter(C, 1, 1)),
    "a weight of each place": with_other(ADD, parameter(1, C, H, W)),
    "zeros": with_other(
        ops.Concatenate(axis=1), ops.Full(shape=sizes(("N", 2, H, W)), output_dtype="float64")
    ),
    "parts": [
        Node("split", ops.Split(sizes=(1, 3), axis=1), ("turned",), ("first", "second")),
        Node("y", ADD, ("first", "second")),
    ],
    "scaled by a vector": [
        Node("mean", ops.Reduction(function="mean", axes=(2, 3)), ("turned",)),
        Node("wide", ops.ReshapeTo(shape=sizes(("N", C, 1, 1))), ("mean",)),
        Node("y", ops.Multiply(), ("turned", "wide")),
    ],
    "beside what is not turned": [
        Node("first", ops.PermuteDims(axes=(0, 3, 1, 2)), ("x",)),
        Node("frame", ops.Slice(items=((None, None, 1), 0)), ("frames",)),
        Node("y", ops.Concatenate(axis=1), ("frame", "turned")),
    ],
}
LEFT = {"beside what is not turned": 1, "a weight of each place": 1}
"""Permutations that have to be."""

OTHER_RANK: dict[str, tuple[list[Node], int]] = {
    "largest": (one(ops.Reduction(function="max", axes=(2, 3))), 0),
    "mean of rows": (one(ops.Reduction(function="mean", axes=(2,))), 1),
    "where": (one(ops.ArgReduction(function="argmax", axis=1)), 0),
    "one row": (one(cut(None, None, 0)), 1),
    "one channel": (one(cut(None, 1)), 0),
    "flattened rows": (one(ops.ReshapeTo(shape=sizes(("N", C, H * W)))), 1),
    "sequence": (
        [
            Node("flat", ops.ReshapeTo(shape=sizes(("N", C, H * W))), ("turned",)),
            Node("y", ops.PermuteDims(axes=(0, 2, 1)), ("flat",)),
        ],
        0,
    ),
    "columns as steps": (
        [
            Node("flat", ops.ReshapeTo(shape=sizes(("N", C * H, W))), ("turned",)),
            Node("y", ops.PermuteDims(axes=(2, 0, 1)), ("flat",)),
        ],
        1,
    ),
    "groups of channels": (one(ops.ReshapeTo(shape=sizes(("N", 2, C // 2, H, W)))), 1),
    "another axis": (one(ops.ExpandDims(axes=(1,))), 1),
    "stacked": (
        [Node("relu", RELU, ("turned",)), Node("y", ops.Stack(axis=1), ("relu", "turned"))],
        1,
    ),
    "rows one by one": (
        [
            Node("rows", ops.Unstack(count=H, axis=2), ("turned",), ("a", "b", "c")),
            Node("ab", ADD, ("a", "b")),
            Node("abc", ADD, ("ab", "c")),
            Node("y", ops.PermuteDims(axes=(0, 2, 1)), ("abc",)),
        ],
        0,
    ),
    "all of it": (one(ops.Flatten()), 1),
}


def program(nodes: list[Node], *behind: Node) -> Graph:
    shapes = {"x": ("N", H, W, C), "frames": ("N", 2, 3, H, W)}
    inputs = tuple(Value(name, sizes(shape), "float64") for name, shape in shapes.items())
    last = Node("out", ops.Identity(), (behind[-1].name if behind else "y",))
    return Graph(inputs, (Node("turned", FRONT, ("x",)), *nodes, *behind, last), ("out",))


def check(before: Graph, left: int) -> Graph:
    """The same numbers, and so many permutations."""
    after = simplify(before)
    arrays = [numbers(3, H, W, C), numbers(3, 2, 3, H, W)]
    np.testing.assert_allclose(
        reference.run(after, arrays)[0], reference.run(before, arrays)[0], rtol=1e-12, atol=1e-12
    )
    assert (
        Counter(node.op.kind for node in after.nodes if node.op.kind == "PermuteDims")["PermuteDims"] == left
    )
    return after


@pytest.mark.parametrize("case", SAME_RANK)
def test_what_is_turned_back_is_not_turned(case: str) -> None:
    left = LEFT.get(case, 0)
    after = check(program(SAME_RANK[case], Node("back", BEHIND, ("y",))), left)

    turned = [node for node in after.nodes if node.op.kind == "PermuteDims"]
    assert all(node.inputs in (("frame",), ("other",)) for node in turned)


@pytest.mark.parametrize("case", OTHER_RANK)
def test_axes_that_come_and_go(case: str) -> None:
    nodes, left = OTHER_RANK[case]
    check(program(nodes), left)


def test_a_mean_over_all_places_is_pooling() -> None:
    after = check(program(one(ops.Reduction(function="mean", axes=(-2, -1)))), 0)

    assert [node.op.kind for node in after.nodes] == ["GlobalAveragePooling2D", "Identity"]


def test_zeros_around_all_places_are_a_layer() -> None:
    around = ops.Pad(widths=((0, 0), (0, 0), (1, 0), (2, 1)))

    after = check(program(one(around), Node("back", BEHIND, ("y",))), 0)

    assert after.nodes[0].op.settings() == {"padding": ((1, 0), (2, 1))}


def test_one_place_is_flattened_without_a_turn() -> None:
    pooled = Node("pooled", ops.Reduction(function="max", axes=(2, 3), keepdims=True), ("turned",))

    after = check(program([pooled, Node("y", ops.Flatten(), ("pooled",))]), 0)

    assert after.nodes[0].op.kind == "GlobalMaxPooling2D"


def test_steps_as_rows_of_several_layers() -> None:
    rng = np.random.default_rng(1)
    dense = ops.Dense(input_size=C, output_size=2, weight=rng.normal(size=(2, C)), bias=rng.normal(size=2))
    nodes = [
        Node("rows", ops.ReshapeTo(shape=sizes((f"N*{H * W}", C))), ("x",)),
        Node("normal", normal(axis=-1), ("rows",)),
        Node("dense", dense, ("normal",)),
        Node("y", ops.ReshapeTo(shape=sizes(("N", H, W, 2))), ("dense",)),
    ]

    after = check(program(nodes), 0)

    assert [node.op.kind for node in after.nodes] == ["BatchNormalization", "Dense", "Identity"]


def test_weights_that_two_nodes_share_stay_shared() -> None:
    shared = ops.LayerNormalization(axes=(-3, -2, -1), weight=numbers(C, H, W), bias=None)
    nodes = [Node("a", shared, ("turned",)), Node("relu", RELU, ("a",)), Node("y", shared, ("relu",))]

    after = check(program(nodes, Node("back", BEHIND, ("y",))), 2)

    assert len({id(node.op) for node in after.nodes if node.op.kind == "LayerNormalization"}) == 1
