from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

import torch_side
from biport.errors import UnsupportedError
from testing.expressions import Expressions, inputs, read_expressions

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


def test_what_has_no_op_is_refused() -> None:
    rules = {
        "transposed": lambda m, x, i: m.transposed(x.transpose(1, 2)),
        "both": lambda m, x, i: m.both(x.transpose(1, 2)),
        "over two axes": lambda m, x, i: m.wide(x.unsqueeze(1)),
    }
    parts = {
        "transposed": nn.ConvTranspose1d(4, 2, 2),
        "both": nn.Conv1d(4, 2, 2, stride=2, dilation=2),
        "wide": nn.Conv2d(1, 2, 2),
    }

    with pytest.raises(UnsupportedError) as caught:
        torch_side.read(Expressions(rules, **parts).eval(), tuple(inputs(3, 5, 4)))

    settings = [reason["setting"] for reason in caught.value.reasons()]
    assert settings == ["convolution", "stride and dilation", "convolution"]
