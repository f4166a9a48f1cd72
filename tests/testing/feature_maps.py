"""Random ops over one axis to three between batch and features, graphs of them, and a small network."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from biport import ops
from biport.errors import GraphError
from biport.graph import Graph, Node, Value
from biport.ops.convolution import CONVOLUTIONS, TRANSPOSED
from biport.ops.pooling import GLOBAL_MAXIMA, GLOBAL_MEANS, MAXIMA, MEANS
from biport.ops.shape import CROPPINGS, UP_SAMPLINGS, ZERO_PADDINGS
from testing.graphs import normal

Rng = np.random.Generator
LETTERS = "T", "H", "W"
MOST_TRIES = 100
ACTIVATIONS = "linear", "relu", "softmax", "tanh"


def numbers(rng: Rng, count: int, low: int, high: int) -> tuple[int, ...]:
    return tuple(rng.integers(low, high, size=count).tolist())


def pairs(rng: Rng, count: int, low: int = 0, high: int = 3) -> tuple[tuple[int, int], ...]:
    return tuple((int(first), int(second)) for first, second in rng.integers(low, high, size=(count, 2)))


def convolution(rng: Rng, axes: int, features: int) -> ops.Op:
    padding = [*(["causal"] if axes == 1 else []), "valid", "same", pairs(rng, axes)]
    groups = int(rng.choice([groups for groups in (1, 2, features) if features % groups == 0]))
    filters, kernel = groups * int(rng.integers(1, 3)), numbers(rng, axes, 1, 5)
    return CONVOLUTIONS[axes](
        input_size=features,
        output_size=filters,
        kernel_size=kernel,
        strides=numbers(rng, axes, 1, 4),
        dilation=numbers(rng, axes, 1, 3),
        padding=padding[rng.integers(len(padding))],
        groups=groups,
        activation=str(rng.choice(ACTIVATIONS)),
        weight=normal(rng, filters, features // groups, *kernel),
        bias=normal(rng, filters) if rng.random() < 0.7 else None,
    )


def separable(rng: Rng, axes: int, features: int) -> ops.Op:
    if axes == 3:
        return convolution(rng, axes, features)
    kernel, filters = numbers(rng, axes, 1, 4), features * int(rng.integers(1, 3))
    depthwise = CONVOLUTIONS[axes](
        input_size=features,
        output_size=filters,
        kernel_size=kernel,
        strides=numbers(rng, axes, 1, 3),
        padding=str(rng.choice(["valid", "same"])),
        groups=features,
        weight=normal(rng, filters, 1, *kernel),
        bias=None,
    )
    pointwise = CONVOLUTIONS[axes](
        input_size=filters,
        output_size=3,
        kernel_size=(1,) * axes,
        activation=str(rng.choice(ACTIVATIONS)),
        weight=normal(rng, 3, filters, *[1] * axes),
        bias=normal(rng, 3),
    )
    kind = {1: ops.SeparableConv1D, 2: ops.SeparableConv2D}[axes]
    return kind(depthwise=depthwise, pointwise=pointwise)


def transposed(rng: Rng, axes: int, features: int) -> ops.Op:
    groups = 2 if features % 2 == 0 and rng.random() < 0.5 else 1
    filters, kernel = groups * int(rng.integers(1, 3)), numbers(rng, axes, 1, 5)
    first, last = numbers(rng, axes, 0, 3), numbers(rng, axes, -5, 4)
    return TRANSPOSED[axes](
        input_size=features,
        output_size=filters,
        kernel_size=kernel,
        strides=numbers(rng, axes, 1, 4),
        dilation=numbers(rng, axes, 1, 3),
        cropping=tuple(zip(first, last, strict=True)),
        groups=groups,
        activation=str(rng.choice(ACTIVATIONS)),
        weight=normal(rng, features, filters // groups, *kernel),
        bias=normal(rng, filters) if rng.random() < 0.7 else None,
    )


def pooling(rng: Rng, axes: int, features: int) -> ops.Op:
    kind = (MAXIMA, MEANS)[rng.integers(2)][axes]
    size = numbers(rng, axes, 1, 5)
    around = [
        (min(first, most - 1), min(second, most - 1))
        for (first, second), most in zip(pairs(rng, axes), size, strict=True)
    ]
    padding = ["valid", "same", tuple(around)][rng.integers(3)]
    return kind(pool_size=size, strides=numbers(rng, axes, 1, 5), padding=padding)


def as_a_whole(rng: Rng, axes: int, features: int) -> ops.Op:
    return (GLOBAL_MAXIMA, GLOBAL_MEANS)[rng.integers(2)][axes](keepdims=bool(rng.integers(2)))


def moved(rng: Rng, axes: int, features: int) -> ops.Op:
    bilinear: dict[str, Any] = {"interpolation": "bilinear"} if axes == 2 and rng.integers(2) else {}
    choices: Sequence[Callable[[], ops.Op]] = (
        lambda: ZERO_PADDINGS[axes](padding=pairs(rng, axes)),
        lambda: CROPPINGS[axes](cropping=pairs(rng, axes)),
        lambda: UP_SAMPLINGS[axes](size=numbers(rng, axes, 1, 4), **bilinear),
    )
    return choices[rng.integers(len(choices))]()


def normalized(rng: Rng, axes: int, features: int) -> ops.Op:
    weights: dict[str, Any] = {name: normal(rng, features) for name in ("weight", "bias")}
    choices: Sequence[Callable[[], ops.Op]] = (
        lambda: ops.BatchNormalization(
            size=features, mean=normal(rng, features), variance=0.5 + normal(rng, features) ** 2, **weights
        ),
        lambda: ops.GroupNormalization(groups=1, epsilon=0.1, **weights),
        lambda: ops.LayerNormalization(epsilon=0.1, **weights),
        lambda: ops.PReLU(alpha=normal(rng, *[1] * axes, features)),
        lambda: ops.LeakyReLU(negative_slope=0.2),
        lambda: ops.Softmax(),
    )
    return choices[rng.integers(len(choices))]()


FAMILIES: Mapping[str, Callable[[Rng, int, int], ops.Op]] = {
    "convolution": convolution,
    "separable": separable,
    "transposed": transposed,
    "pooling": pooling,
    "as_a_whole": as_a_whole,
    "moved": moved,
    "normalized": normalized,
}


def random_graph(rng: Rng, first: str, axes: int, free: Sequence[bool], count: int = 3) -> Graph:
    """Up to ``count`` ops one behind the other, ``first`` of that family, over ``(N, *T, I)``.

    Args:
        axes: how many are between batch and features.
        free: which of them vary.
    """
    features = int(rng.choice([2, 3, 4]))
    sizes = numbers(rng, axes, 5, 9)
    along = [letter if varies else size for letter, size, varies in zip(LETTERS, sizes, free, strict=False)]
    value = Value("x", ("N", *along, features), "float32")
    nodes: list[Node] = []
    graph = None
    for _ in range(MOST_TRIES):
        if graph is not None and (
            len(nodes) == count or len(graph.tensors[nodes[-1].name].shape) != axes + 2
        ):
            return graph
        family = first if graph is None else str(rng.choice([*FAMILIES]))
        name = nodes[-1].name if nodes else "x"
        op = FAMILIES[family](rng, axes, features)
        node = Node(f"node_{len(nodes)}", op, (name,))
        try:
            graph = Graph((value,), (*nodes, node), (node.name,))
        except GraphError:
            # Over these sizes it is not defined.
            continue
        nodes.append(node)
        last = graph.tensors[node.name].shape[-1]
        assert isinstance(last, int)
        features = last
    assert graph is not None
    return graph


def conv2d(rng: Rng, given: int, filters: int, **settings: Any) -> ops.Conv2D:
    weight = normal(rng, filters, given, 3, 3) / np.sqrt(9 * given).astype("float32")
    options: dict[str, Any] = {"kernel_size": 3, "padding": "same"} | settings
    return ops.Conv2D(
        input_size=given,
        output_size=filters,
        weight=weight,
        bias=normal(rng, filters),
        **options,
    )


def batch_norm(rng: Rng, size: int) -> ops.BatchNormalization:
    mean, weight, bias = (normal(rng, size) for _ in range(3))
    return ops.BatchNormalization(
        size=size, mean=mean, variance=0.5 + normal(rng, size) ** 2, weight=weight, bias=bias
    )


def residual_network(rng: Rng, H: int | str = 8, W: int | str = "W") -> Graph:
    """Two convolutions, a sum and two values side by side, pooled, and read from left to right."""
    nodes = (
        Node("conv_1", conv2d(rng, 3, 4), ("x",)),
        Node("norm_1", batch_norm(rng, 4), ("conv_1",)),
        Node("relu_1", ops.ReLU(), ("norm_1",)),
        Node("conv_2", conv2d(rng, 4, 4), ("relu_1",)),
        Node("norm_2", batch_norm(rng, 4), ("conv_2",)),
        Node("sum", ops.Add(), ("norm_2", "relu_1")),
        Node("relu_2", ops.LeakyReLU(negative_slope=0.1), ("sum",)),
        Node("both", ops.Concatenate(axis=-1), ("relu_2", "conv_1")),
        Node("dropped", ops.SpatialDropout2D(rate=0.5), ("both",)),
        Node("pool", ops.MaxPooling2D(pool_size=(8, 2), strides=(8, 2)), ("dropped",)),
        Node("turned", ops.Permute(dims=(2, 1, 3)), ("pool",)),
        Node("columns", ops.Reshape(target_shape=(-1, 8)), ("turned",)),
    )
    return Graph((Value("x", ("N", H, W, 3), "float32"),), nodes, ("columns",))
