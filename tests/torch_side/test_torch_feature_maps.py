"""Ops over one axis, two or three as torch's own channels-first layers, against the oracle in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import torch_side
from biport import ops, reference
from biport.graph import Graph, Node, Value
from testing.graphs import normal
from torch_side import layers

AXES = ("H", "W", "D")
ALLOWED = 1e-12


def one(op: ops.Op, sizes: tuple[Any, ...], features: int) -> Graph:
    """A graph of one op over ``(N, *sizes, features)``."""
    x = Value("x", ("N", *sizes, features), "float64")
    return Graph((x,), (Node("layer", op, ("x",)),), ("layer",))


def check(op: ops.Op, features: int, sizes: tuple[int, ...], free: bool) -> torch.nn.Module:
    """What is written computes what the oracle does, and is read as what it was written for."""
    dims = AXES[: len(sizes)] if free else sizes
    graph = one(op, dims, features)
    x = np.random.default_rng(sum(sizes)).normal(size=(2, *sizes, features))
    (wanted,) = reference.run(graph, [x])
    module = torch_side.write(graph)
    (given,) = torch_side.run(module, [x])
    np.testing.assert_allclose(given, wanted, rtol=ALLOWED, atol=ALLOWED)
    assert torch_side.read(module) == graph
    return module


def each(rng: np.random.Generator, dimensions: int, low: int, high: int) -> tuple[int, ...]:
    return tuple(int(number) for number in rng.integers(low, high, size=dimensions))


def pairs(rng: np.random.Generator, most: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
    return tuple((int(rng.integers(high)), int(rng.integers(high))) for high in most)


def chosen(rng: np.random.Generator, *options: Any) -> Any:
    return options[int(rng.integers(len(options)))]


def convolution(rng: np.random.Generator, dimensions: int) -> ops.Op:
    """Of 4 features, with all settings mixed."""
    kernel, groups = each(rng, dimensions, 1, 4), chosen(rng, 1, 2, 4)
    same = tuple((n, n) for n in each(rng, dimensions, 0, 3))
    words = ["valid", "same", "causal" if dimensions == 1 else "same"]
    return getattr(ops, f"Conv{dimensions}D")(
        input_size=4,
        output_size=8,
        kernel_size=kernel,
        strides=each(rng, dimensions, 1, 4),
        dilation=each(rng, dimensions, 1, 3),
        padding=chosen(rng, pairs(rng, (3,) * dimensions), same, *words),
        groups=groups,
        activation=chosen(rng, "linear", "relu", "softmax"),
        weight=normal(rng, 8, 4 // groups, *kernel, dtype="float64"),
        bias=chosen(rng, None, normal(rng, 8, dtype="float64")),
    )


def transposed(rng: np.random.Generator, dimensions: int) -> ops.Op:
    kernel, groups = each(rng, dimensions, 1, 4), chosen(rng, 1, 2)
    strides, dilation = each(rng, dimensions, 1, 4), each(rng, dimensions, 1, 3)
    reach = [max(one, two) for one, two in zip(strides, dilation, strict=True)]
    cropping = tuple(
        chosen(rng, (0, -int(rng.integers(most))), (2, 2 - int(rng.integers(most))), *pairs(rng, (3, 3)))
        for most in reach
    )
    return getattr(ops, f"Conv{dimensions}DTranspose")(
        input_size=4,
        output_size=6,
        kernel_size=kernel,
        strides=strides,
        dilation=dilation,
        cropping=cropping,
        groups=groups,
        activation=chosen(rng, "linear", "tanh"),
        weight=normal(rng, 4, 6 // groups, *kernel, dtype="float64"),
        bias=chosen(rng, None, normal(rng, 6, dtype="float64")),
    )


def separable(rng: np.random.Generator, dimensions: int) -> ops.Op:
    dimensions = min(dimensions, 2)
    kernel, kind = each(rng, dimensions, 1, 4), getattr(ops, f"Conv{dimensions}D")
    depthwise = kind(
        input_size=4,
        output_size=8,
        kernel_size=kernel,
        strides=each(rng, 1, 1, 3) * dimensions,
        padding=chosen(rng, "same", "valid"),
        groups=4,
        weight=normal(rng, 8, 1, *kernel, dtype="float64"),
        bias=None,
    )
    pointwise = kind(
        input_size=8,
        output_size=3,
        kernel_size=1,
        activation="relu",
        weight=normal(rng, 3, 8, *[1] * dimensions, dtype="float64"),
        bias=normal(rng, 3, dtype="float64"),
    )
    return getattr(ops, f"SeparableConv{dimensions}D")(depthwise=depthwise, pointwise=pointwise)


def pooling(rng: np.random.Generator, dimensions: int) -> ops.Op:
    size = each(rng, dimensions, 1, 5)
    padding = chosen(rng, "valid", "same", "same", pairs(rng, size))
    kind = getattr(ops, f"{chosen(rng, 'Max', 'Average')}Pooling{dimensions}D")
    return kind(pool_size=size, strides=each(rng, dimensions, 1, 5), padding=padding)


def reshaping(rng: np.random.Generator, dimensions: int) -> ops.Op:
    def kind(name: str) -> Any:
        return getattr(ops, f"{name}{dimensions}D")

    return chosen(
        rng,
        kind("GlobalMaxPooling")(keepdims=chosen(rng, True, False)),
        kind("GlobalAveragePooling")(keepdims=chosen(rng, True, False)),
        kind("ZeroPadding")(padding=pairs(rng, (3,) * dimensions)),
        kind("Cropping")(cropping=pairs(rng, (3,) * dimensions)),
        kind("UpSampling")(size=each(rng, dimensions, 1, 8)),
        ops.UpSampling2D(size=each(rng, 2, 1, 5), interpolation="bilinear"),
        kind("SpatialDropout")(rate=0.5),
    )


@pytest.mark.parametrize("make", [convolution, transposed, separable])
def test_what_training_does_with_the_weights_comes_back(
    make: Callable[[np.random.Generator, int], ops.Op],
) -> None:
    op = make(np.random.default_rng(5), 2)
    first, *others = op.weights()
    owner, _, field = first.rpartition(".")
    frozen, penalty = ops.Learning(frozen=frozenset([field])), ops.Penalty(l2=0.5)
    last, _, other = others[0].rpartition(".") if others else (owner, "", field)
    learning = {owner: frozen} if last == owner else {owner: frozen, last: _penalised(other, penalty)}
    graph = one(op.with_learning(learning), (9, 8), 4)
    module = torch_side.write(graph)
    read = torch_side.read(module)
    assert read == graph
    assert read["layer"].op.all_learning() == graph["layer"].op.all_learning()
    still = [name for name, parameter in module.named_parameters() if not parameter.requires_grad]
    assert still == [f"layer.{first}"]
    x = torch.ones(2, 9, 8, 4, dtype=torch.float64, requires_grad=True)
    (module(x).square().sum() + module.penalty()).backward()
    assert all((one.grad is None) is (name in still) for name, one in module.named_parameters())


def _penalised(field: str, penalty: ops.Penalty) -> ops.Learning:
    return ops.Learning(penalties={field: penalty})


@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_statistics_move_by_what_a_step_takes(dimensions: int) -> None:
    """0.9 of Keras' momentum is kept; over all but the channels, wherever torch has these."""
    rng = np.random.default_rng(6)
    statistics: dict[str, Any] = {"mean": np.zeros(3), "variance": np.ones(3), "momentum": 0.9}
    op = ops.BatchNormalization(size=3, weight=None, bias=None, **statistics)
    shape = (4, *(5, 4, 3)[:dimensions], 3)
    x = rng.normal(size=shape) + 2
    module = torch_side.write(one(op, shape[1:-1], 3)).train()
    y = module(torch.tensor(x)).detach().numpy()
    axes = tuple(range(dimensions + 1))
    np.testing.assert_allclose(y, (x - x.mean(axes)) / np.sqrt(x.var(axes) + op.epsilon), atol=1e-12)
    assert type(module.get_submodule("layer")).__name__ == f"BatchNorm{dimensions}d"
    moved = module.get_buffer("layer.running_mean").numpy()
    np.testing.assert_allclose(moved, 0.1 * x.mean(axes), atol=1e-12)


KINDS = [convolution, transposed, separable, pooling, reshaping]


def check_many(kind: Callable[[np.random.Generator, int], ops.Op], seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    for _ in range(count):
        op: Any = kind(rng, int(rng.integers(1, 4)))
        few = kind is not reshaping and getattr(op, "padding", "") in ("same", "causal")
        low, high = (1, 6) if few and rng.random() < 0.5 else (7, 11)
        check(op, 4, each(rng, op.dimensions, low, high), bool(rng.random() < 0.5))


@pytest.mark.parametrize("kind", KINDS)
def test_ops(kind: Callable[[np.random.Generator, int], ops.Op]) -> None:
    check_many(kind, 0, 6)


@pytest.mark.sweep
@pytest.mark.parametrize("seed", range(1, 5))
@pytest.mark.parametrize("kind", KINDS)
def test_many_ops(kind: Callable[[np.random.Generator, int], ops.Op], seed: int) -> None:
    check_many(kind, seed, 50)


class _Ours(nn.Module):
    """Layers that pad as Keras does, in a module of somebody's own."""

    def __init__(self) -> None:
        super().__init__()
        kinds = ("Conv1d", "Conv2d", "Conv3d")
        self.convolutions = nn.ModuleList(
            [
                getattr(layers, kind)(3, 2, 2, stride=2, **({"padding": "same"} if kind == "Conv1d" else {}))
                for kind in kinds
            ]
        )
        names = [f"{kind}Pooling{dimensions}D" for kind in ("Max", "Average") for dimensions in (1, 2, 3)]
        self.pools = nn.ModuleList([getattr(layers, name)(3, 2) for name in names])

    def forward(self, *maps: torch.Tensor) -> list[torch.Tensor]:
        convolved = [layer(x) for layer, x in zip(self.convolutions, maps, strict=True)]
        return [*convolved, *(pool(x) for pool, x in zip(self.pools, maps * 2, strict=True))]


def test_layers_of_ours_are_read_wherever_they_are_called() -> None:
    maps = [torch.rand(2, 3, *(5, 4, 6)[:dimensions]) for dimensions in (1, 2, 3)]
    graph = torch_side.read(_Ours().eval(), tuple(maps))
    kinds = {node.op.kind for node in graph.nodes}
    ours = {f"{kind}{n}D" for kind in ("Conv", "MaxPooling", "AveragePooling") for n in (1, 2, 3)}
    assert kinds - {"PermuteDims"} == ours
    windowed: list[Any] = [node.op for node in graph.nodes if node.op.kind in ours]
    assert {op.padding for op in windowed} == {"same"}
