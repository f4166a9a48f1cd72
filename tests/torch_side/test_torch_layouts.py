"""Written modules leave tensors as layers give them: where axes are permuted, and that all stays the same."""

from __future__ import annotations

import contextlib
import copy
import pickle
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import torch

import torch_side
from biport import ops, reference
from biport.dims import bound
from biport.errors import BiportError, InputError
from biport.graph import Graph, Node, Value
from testing.graphs import cell, dense, normal
from testing.model_source import check_same
from torch_side.reading.written import read_written

ALLOWED = 1e-12


class Builder:
    """A graph in the making; each call gives the name of a value."""

    def __init__(self, *shape: Any, seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        self.inputs = (Value("x", shape, "float64"),)
        self.nodes: list[Node] = []

    def __call__(self, op: ops.Op, *inputs: str) -> str:
        name = f"{op.kind.lower()}_{len(self.nodes)}"
        op = op if op.dtype in (None, "float64") else op.astype("float64")
        self.nodes.append(Node(name, op, inputs or (self.last,)))
        return name

    @property
    def last(self) -> str:
        return self.nodes[-1].name if self.nodes else "x"

    def graph(self, *outputs: str) -> Graph:
        return Graph(self.inputs, tuple(self.nodes), outputs or (self.last,))

    def conv(self, I: int, O: int, size: int = 3, **settings: Any) -> ops.Conv2D:
        given: dict[str, Any] = {"padding": "same", "activation": "relu"} | settings
        weight = normal(self.rng, O, I // given.get("groups", 1), size, size)
        sizes: dict[str, Any] = {"input_size": I, "output_size": O, "kernel_size": size}
        return ops.Conv2D(**sizes, weight=weight, bias=normal(self.rng, O), **given)

    def norm(self, I: int) -> ops.BatchNormalization:
        mean, variance = normal(self.rng, I), normal(self.rng, I) ** 2 + 0.5
        weight, bias = normal(self.rng, I), normal(self.rng, I)
        return ops.BatchNormalization(size=I, weight=weight, bias=bias, mean=mean, variance=variance)


def crnn() -> Graph:
    """An image of varying width to a sequence, Keras' way."""
    b = Builder("N", 8, "W", 1)
    for I, O, pool in ((1, 4, (2, 2)), (4, 6, (2, 1))):
        b(b.conv(I, O, activation="linear"))
        b(b.norm(O))
        b(ops.Activation(function="relu"))
        b(ops.MaxPooling2D(pool_size=pool, strides=pool))
    b(ops.Permute(dims=(2, 1, 3)))
    b(ops.Reshape(target_shape=(-1, 12)))
    b(cell(b.rng, ops.LSTM, 12, 5, return_sequences=True))
    b(dense(b.rng, 5, 3))
    return b.graph()


def vgg() -> Graph:
    b = Builder("N", 8, 8, 3)
    for I, O in ((3, 4), (4, 6)):
        b(b.conv(I, O))
        b(b.conv(O, O))
        b(ops.MaxPooling2D(pool_size=(2, 2), strides=(2, 2)))
        b(ops.Dropout(rate=0.2))
    b(ops.Flatten())
    b(dense(b.rng, 24, 3))
    return b.graph()


def resnet() -> Graph:
    b = Builder("N", 8, 8, 3)
    x = b(b.conv(3, 4))
    for _ in range(2):
        b(b.conv(4, 4, activation="linear"))
        b(b.norm(4))
        b(ops.Activation(function="relu"))
        b(b.conv(4, 4, activation="linear"))
        y = b(b.norm(4))
        b(ops.Add(), x, y)
        x = b(ops.Activation(function="relu"))
    b(ops.GlobalAveragePooling2D())
    b(dense(b.rng, 4, 3))
    return b.graph()


def unet() -> Graph:
    b = Builder("N", 8, 8, 3)
    x = b(b.conv(3, 4))
    b(ops.MaxPooling2D(pool_size=(2, 2), strides=(2, 2)))
    b(b.conv(4, 6))
    y = b(ops.UpSampling2D(size=(2, 2)))
    b(ops.Concatenate(axis=-1), y, x)
    b(ops.ZeroPadding2D(padding=((1, 2), (0, 1))))
    b(b.conv(10, 4, padding="valid"))
    b(ops.Cropping2D(cropping=((1, 0), (0, 1))))
    b(b.conv(4, 2, 1, activation="softmax"))
    return b.graph()


def video() -> Graph:
    """Every picture of a film, then a recurrence over them."""
    b = Builder("N", "T", 8, 8, 3)
    for op in (b.conv(3, 4), b.norm(4), ops.MaxPooling2D(pool_size=(2, 2), strides=(2, 2)), b.conv(4, 6)):
        b(ops.TimeDistributed(layer=op))
    b(ops.Activation(function="relu"))
    b(ops.Dropout(rate=0.5))
    b(ops.TimeDistributed(layer=ops.GlobalAveragePooling2D()))
    b(cell(b.rng, ops.LSTM, 6, 5, return_sequences=True))
    b(ops.TimeDistributed(layer=dense(b.rng, 5, 2)))
    return b.graph()


def read_from_torch() -> Graph:
    """A module over NCHW, as it is read: its own permutation, and what turns the layers' axes."""
    b = Builder("N", 3, 8, "W")
    b(ops.PermuteDims(axes=(0, 2, 3, 1)))
    b(b.conv(3, 4))
    b(b.norm(4))
    b(ops.MaxPooling2D(pool_size=(8, 1), strides=(1, 1)))
    b(ops.PermuteDims(axes=(0, 3, 1, 2)))
    b(ops.Squeeze(axes=(2,)))
    b(ops.PermuteDims(axes=(2, 0, 1)))
    return b.graph()


def separable() -> Graph:
    b = Builder("N", 8, 8, 4)
    ones = b.conv(4, 6, 1, padding="valid")
    alone = b.conv(4, 4, groups=4, activation="linear")
    alone = ops.Conv2D.build(alone.settings(), {"weight": alone.weight})
    b(ops.SeparableConv2D(depthwise=alone, pointwise=ones))
    b(ops.GroupNormalization(groups=2, weight=normal(b.rng, 6), bias=normal(b.rng, 6)))
    b(ops.SpatialDropout2D(rate=0.3))
    b(ops.AveragePooling2D(pool_size=(3, 3), strides=(2, 2), padding="same"))
    return b.graph()


def convolved_text() -> Graph:
    b = Builder("N", "T", 3)
    weight = normal(b.rng, 4, 3, 3)
    b(ops.Conv1D(input_size=3, output_size=4, kernel_size=(3,), padding="same", weight=weight, bias=None))
    b(b.norm(4))
    x = b(ops.MaxPooling1D(pool_size=(2,), strides=(2,)))
    b(ops.SpatialDropout1D(rate=0.3))
    y = b(cell(b.rng, ops.GRU, 4, 4, return_sequences=True))
    b(ops.Multiply(), x, y)
    b(ops.GlobalMaxPooling1D())
    return b.graph()


MODELS: dict[Callable[[], Graph], list[str]] = {
    crnn: ["permute(0, 3, 1, 2)", "transpose(1, 3)"],
    vgg: ["permute(0, 3, 1, 2)", "permute(0, 2, 3, 1)"],
    resnet: ["permute(0, 3, 1, 2)"],
    unet: ["permute(0, 3, 1, 2)", "permute(0, 2, 3, 1)"],
    video: ["permute(0, 1, 4, 2, 3)"],
    read_from_torch: ["permute(2, 0, 1)"],
    separable: ["permute(0, 3, 1, 2)", "permute(0, 2, 3, 1)"],
    convolved_text: ["transpose(1, 2)"] * 3,
}


def permutations(module: torch_side.Ported) -> list[str]:
    """All that moves axes, in order."""
    moves = [node for node in module.graph.nodes if node.target in ("permute", "transpose", torch.permute)]
    return [f"{node.target}({', '.join(map(str, node.args[1:]))})" for node in moves]


def sized(graph: Graph, seed: int) -> np.ndarray:
    (x,) = graph.inputs
    return np.random.default_rng(seed).normal(size=bound(x.shape, {"N": 2, "T": 5, "W": 6}))


def same(graph: Graph, module: torch.nn.Module, seed: int = 1) -> None:
    """The module computes what the oracle does, and is read as what it was written for."""
    x = sized(graph, seed)
    for given, wanted in zip(torch_side.run(module, [x]), reference.run(graph, [x]), strict=True):
        np.testing.assert_allclose(given, wanted, rtol=ALLOWED, atol=ALLOWED)
    assert torch_side.read(module) == graph


@pytest.mark.parametrize("make", MODELS)
def test_axes_are_permuted_only_where_they_must(make: Callable[[], Graph]) -> None:
    graph = make()
    module = torch_side.write(graph)
    assert permutations(module) == MODELS[make]
    same(graph, module)


class Wanderer(Builder):
    """A graph of ops in any order that have to do with axes, whatever comes out of it."""

    def __init__(self, seed: int) -> None:
        super().__init__("N", *[("T", 8, 7, 3), (8, 7, 3), ("T", 8, 3), ("T", 3)][seed % 4], seed=seed)

    def tensor(self, name: str) -> ops.Tensor:
        return Graph(self.inputs, tuple(self.nodes), (name,)).tensors[name]

    def pick(self, *options: Any) -> Any:
        return options[int(self.rng.integers(len(options)))]

    def values(self) -> list[str]:
        return ["x", *(node.name for node in self.nodes)]

    def step(self) -> None:
        """One more op of a value made lately, where it takes that."""
        name = self.pick(*self.values()[-4:])
        shape = self.tensor(name).shape
        op = self.pick(*self._any(shape), *self._maps(shape), *self._of_steps(shape))
        others = [other for other in self.values() if self.tensor(other) == self.tensor(name)]
        count = 2 if isinstance(op, ops.Add | ops.Concatenate) or getattr(op, "function", "") == "add" else 1
        try:
            # A layer is applied more than once.
            known = [node.op for node in self.nodes if type(node.op) is type(op)]
            op = known[0] if known and self.rng.random() < 0.3 else op
            self(op, *(self.pick(*others) for _ in range(count - 1)), name)
            self.tensor(self.last)
        except BiportError:
            self.nodes.pop()

    def _any(self, shape: tuple[Any, ...]) -> list[ops.Op]:
        rank = len(shape)
        axes = tuple(int(axis) for axis in 1 + self.rng.permutation(rank - 1))
        axis = int(self.rng.integers(1, rank)) if rank > 1 else 0
        widths = tuple((int(n), int(m)) for n, m in self.rng.integers(0, 2, size=(rank - 1, 2)))
        kept = self.pick(True, False)
        common = [
            ops.Activation(function=self.pick("relu", "tanh", "softmax")),
            ops.Dropout(rate=0.5),
            ops.Add(),
            ops.Elementwise(function=self.pick("add", "abs")),
            ops.Concatenate(axis=self.pick(-1, axis)),
            ops.PermuteDims(axes=(0, *axes)),
            ops.Permute(dims=axes) if axes else ops.Dropout(rate=0.1),
            ops.Reduction(function=self.pick("sum", "max", "mean"), axes=(axis,), keepdims=kept),
            ops.Pad(widths=((0, 0), *widths)),
            ops.Softmax(axis=-1),
        ]
        return [*common, dense(self.rng, shape[-1], 4)] if isinstance(shape[-1], int) else common

    def _maps(self, shape: tuple[Any, ...]) -> list[ops.Op]:
        """What takes feature maps."""
        d, I = len(shape) - 2, shape[-1]
        if not (1 <= d <= 3 and isinstance(I, int)):
            return []

        def kind(name: str) -> Any:
            return getattr(ops, f"{name}{d}D")

        weight = normal(self.rng, 4, I, *[2] * d)
        sizes = {"input_size": I, "output_size": 4, "kernel_size": 2, "bias": normal(self.rng, 4)}
        sizes |= {"padding": "same", "activation": self.pick("relu", "softmax")}
        return [
            *[kind("Conv")(**sizes, weight=weight)] * 3,
            kind("MaxPooling")(pool_size=2, strides=1, padding=self.pick("same", "valid")),
            kind("AveragePooling")(pool_size=2, strides=2, padding="same"),
            kind("ZeroPadding")(padding=((1, 0),) * d),
            kind("Cropping")(cropping=((1, 0),) * d),
            kind("UpSampling")(size=2),
            kind("SpatialDropout")(rate=0.2),
            kind("GlobalAveragePooling")(keepdims=self.pick(True, False)),
            self.norm(I),
            ops.PReLU(alpha=normal(self.rng, *[1] * d, I)),
            ops.Rescaling(scale=self.pick(0.5, (0.25,) * I)),
        ]

    def _of_steps(self, shape: tuple[Any, ...]) -> list[ops.Op]:
        """The same for every step."""
        if len(shape) == 3 and isinstance(shape[-1], int):
            return [cell(self.rng, ops.GRU, shape[-1], 3, return_sequences=True)]
        if len(shape) < 4:
            return []
        inside = [*self._any(shape[1:]), *self._maps(shape[1:])]
        single = [op for op in inside if not isinstance(op, ops.Add | ops.Concatenate)]
        return [ops.TimeDistributed(layer=self.pick(*single)), ops.TimeDistributed(layer=ops.Flatten())]


def wandered(seed: int, count: int) -> Graph:
    b = Wanderer(seed)
    for _ in range(count):
        b.step()
    return b.graph(*dict.fromkeys([b.last, b.pick(*b.values()[-5:])]))


def check_wandered(seed: int) -> None:
    graph = wandered(seed, 12)
    x = sized(graph, seed)
    try:
        wanted = reference.run(graph, [x])
    except InputError:
        return
    module = torch_side.write(graph)
    for given, expected in zip(torch_side.run(module, [x]), wanted, strict=True):
        np.testing.assert_allclose(given, expected, rtol=1e-10, atol=1e-10)
    assert torch_side.read(module) == graph
    traced = torch_side.trace(module, {"case": [x]}, graph)
    values = reference.trace(graph, [x])
    for name, array in traced.values["case"].items():
        np.testing.assert_allclose(array, values[name], rtol=1e-10, atol=1e-10, err_msg=name)


@pytest.mark.parametrize("seed", range(6))
def test_any_graph(seed: int) -> None:
    check_wandered(seed)


@pytest.mark.sweep
@pytest.mark.parametrize("seed", range(6, 150))
def test_many_graphs(seed: int) -> None:
    check_wandered(seed)
    graph = wandered(seed, 12)
    with contextlib.suppress(InputError):
        reference.run(graph, [sized(graph, seed)])
        check_same(graph, [sized(graph, seed)])


def test_the_source_of_each_permutes_as_often() -> None:
    for make, moves in MODELS.items():
        graph = make()
        source = check_same(graph, [sized(graph, 2)])
        forward = source[source.index("def forward") : source.index("def load")]
        assert forward.count("permute(") + forward.count("transpose(") == len(moves)


def renamed(graph: Graph, names: Mapping[str, str]) -> Graph:
    def new(old: Sequence[str]) -> tuple[str, ...]:
        return tuple(names.get(name, name) for name in old)

    nodes = [Node(names.get(node.name, node.name), node.op, new(node.inputs)) for node in graph.nodes]
    return Graph(graph.inputs, tuple(nodes), new(graph.outputs))


def test_a_model_within_takes_and_gives_what_its_layers_do() -> None:
    graph = crnn()
    graph = renamed(graph, {node.name: f"encoder.{node.name}" for node in graph.nodes[:8]})
    source = check_same(graph, [sized(graph, 3)])
    assert "class Encoder(nn.Module):" in source
    assert "encoder = self.encoder(x)  # (N, 6, 2, " in source
    same(graph, torch_side.write(graph))


def test_a_copy_is_read_as_the_original_was() -> None:
    for make in (crnn, video, read_from_torch):
        graph = make()
        module = torch_side.write(graph)
        for other in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
            same(graph, other)


def test_what_somebody_changed_is_not_taken_for_what_was_written() -> None:
    b = Builder("N", 3, 3)
    b(ops.Conv1D(input_size=3, output_size=3, kernel_size=(1,), weight=normal(b.rng, 3, 3, 1), bias=None))
    graph = b.graph(b(dense(b.rng, 3, 3)))
    module = torch_side.write(graph)
    assert permutations(module) == ["transpose(1, 2)", "transpose(1, 2)"]
    (_, last) = [node for node in module.graph.nodes if node.target == "transpose"]
    last.args = (last.args[0], 0, 0)
    module.recompile()
    assert read_written(module) is None
