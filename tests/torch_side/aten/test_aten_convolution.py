from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import biport.reference
import torch_side
from biport.graph import Graph
from testing.expressions import Expressions, read_expressions

CONVOLUTIONS = {
    "kept": nn.Conv1d(4, 5, 3, padding=1),
    "same": nn.Conv1d(4, 5, 4, padding="same"),
    "strides": nn.Conv1d(4, 5, 3, padding=2, stride=2),
    "dilation": nn.Conv1d(4, 6, 2, dilation=2, padding=1, groups=2, bias=False),
    "reflected": nn.Conv1d(4, 5, 3, padding=1, padding_mode="reflect"),
    "of one step": nn.Conv1d(4, 3, 1),
    "by parameters of parameters": nn.utils.parametrizations.weight_norm(nn.Conv1d(4, 5, 2)),
}


def layer(name: str) -> Any:
    return lambda m, x, i: getattr(m, name)(x.transpose(1, 2)).transpose(1, 2)


@pytest.mark.filterwarnings("ignore:Using padding='same'")
def test_convolutions() -> None:
    parts = {f"part{position}": part for position, part in enumerate(CONVOLUTIONS.values())}
    rules = {name: layer(part) for name, part in zip(CONVOLUTIONS, parts, strict=True)}

    graph, nodes = read_expressions(Expressions(rules, **parts), (4, 3), (1, 4))

    # Steps are padded as layers do, and nothing is turned around; reflecting is an operation.
    assert {node.op.kind for node in graph.nodes} <= {"Conv1D", "ZeroPadding1D", "Pad", "PermuteDims"}
    assert all(node.op.kind == "Conv1D" for node in nodes.values())
    assert sum(node.op.kind == "PermuteDims" for node in graph.nodes) <= 2


def test_a_kernel_as_wide_as_the_features() -> None:
    def rule(m: Any, x: torch.Tensor, i: torch.Tensor) -> torch.Tensor:
        y = functional.relu(m.conv(x.unsqueeze(1))).squeeze(3)
        return functional.max_pool1d(y, y.size(2)).squeeze(2)

    graph, _ = read_expressions(Expressions({"y": rule}, conv=nn.Conv2d(1, 3, (2, 4))), (4, 3), (1, 2))

    assert [node.op.kind for node in graph.nodes] == ["Conv1D", "Activation", "GlobalMaxPooling1D"]


class Residual(nn.Module):
    """Blocks with their channels first, and a layer over time behind them."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.three = (nn.Conv1d(4, 4, 3, padding=1) for _ in range(3))
        self.normal = nn.BatchNorm1d(4)
        self.gru = nn.GRU(4, 3, batch_first=True)

    def forward(self, x, i):
        x = x.transpose(1, 2)
        y = torch.relu(self.normal(self.one(x)))
        z = self.two(y)
        z += y
        z = torch.relu(z) + self.three(z)
        return {"h": self.gru(nn.functional.max_pool1d(z, 2).transpose(1, 2))[1][-1]}

    expressions = ("h",)


def test_nothing_is_turned_around_between_layers() -> None:
    graph, _ = read_expressions(Residual().eval(), (4, 3), (1, 2))  # type: ignore[arg-type]

    kinds = [node.op.kind for node in graph.nodes]
    assert "PermuteDims" not in kinds
    assert kinds.count("Conv1D") == 3
    assert kinds[-2:] == ["MaxPooling1D", "GRU"]


PLANES = {
    "padded": nn.Conv2d(4, 5, 3, padding=(1, 0), bias=False),
    "kept": nn.Conv2d(4, 5, (3, 5), padding=(1, 2)),
    "same": nn.Conv2d(4, 5, (2, 3), padding="same"),
    "strides and dilation": nn.Conv2d(4, 6, (3, 2), stride=(2, 1), padding=(2, 1), dilation=(2, 1)),
    "of each channel": nn.Conv2d(4, 8, 3, groups=4, padding=1),
    "around": nn.Conv2d(4, 5, 3, padding=(1, 2), padding_mode="circular"),
    "transposed": nn.ConvTranspose2d(4, 6, (3, 2), stride=(2, 3), padding=(1, 0), groups=2),
    "with more": nn.ConvTranspose2d(4, 5, 3, stride=2, padding=1, output_padding=(1, 0), dilation=(1, 2)),
}


class Planes(nn.Module):
    """Each layer of what has its channels in front of two axes."""

    def __init__(self) -> None:
        super().__init__()
        self.parts = nn.ModuleList(PLANES.values())

    def forward(self, x):
        return [part(x) for part in self.parts]


def read_at(module: nn.Module, *shapes: tuple[int, ...]) -> Graph:
    """What a module of one input computes, also at other sizes than the first."""
    torch.manual_seed(0)
    module = module.double().eval()
    examples = [torch.randn(shape, dtype=torch.float64) for shape in shapes]
    graph = torch_side.read(module, examples[0])
    for x in examples:
        with torch.no_grad():
            wanted = module(x)
        for one, two in zip(wanted, biport.reference.run(graph, [x.numpy()]), strict=True):
            np.testing.assert_allclose(two, one.numpy(), rtol=1e-9, atol=1e-9)
    return graph


@pytest.mark.filterwarnings("ignore:Using padding='same'")
def test_over_two_axes() -> None:
    graph = read_at(Planes(), (2, 4, 7, 9), (3, 4, 6, 5), (1, 4, 9, 8))

    (value,) = graph.inputs
    assert value.shape == ("N", 4, "T", "S")
    paddings = {node.name: node.op.settings().get("padding") for node in graph.nodes}
    assert [paddings[f"parts.{number}"] for number in range(5)] == [
        ((1, 1), (0, 0)),
        "same",
        "same",
        ((2, 2), (1, 1)),
        "same",
    ]


@pytest.mark.sweep
def test_over_one_axis_and_three() -> None:
    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cube, self.up = nn.Conv3d(2, 3, (2, 3, 1), 2, 1), nn.ConvTranspose3d(2, 3, 2, 2, (1, 0, 1))
            self.line = nn.ConvTranspose1d(2, 3, 4, stride=3, padding=2, output_padding=1)
            self.both = nn.Conv1d(2, 3, 2, stride=2, dilation=3)

        def forward(self, x):
            return [self.cube(x), self.up(x), self.line(x[:, :, 0, 0]), self.both(x[:, :, 0, :, 0])]

    graph = read_at(Both(), (2, 2, 3, 4, 5), (1, 2, 4, 5, 4))

    kinds = {node.op.kind for node in graph.nodes}
    assert {"Conv3D", "Conv3DTranspose", "Conv1DTranspose", "Conv1D"} <= kinds
