"""Modules that were scripted or traced, live."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

import torch_side
from biport import reference
from biport.errors import InputError, UnsupportedError

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning"),
]


class Tagger(nn.Module):
    """A setting that is branched on, a loop, states that are given or not, a convolution, dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(4, 3, 3, padding=1)
        self.rnn = nn.LSTM(3, 5, batch_first=True, bidirectional=True)
        self.drop = nn.Dropout(0.5)
        self.weight = nn.Parameter(torch.randn(10))
        self.times = 2

    def forward(
        self, x: torch.Tensor, state: tuple[torch.Tensor, torch.Tensor]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        y = torch.relu(self.conv(x.transpose(1, 2))).transpose(1, 2)
        y, (h, c) = self.rnn(y, state)
        for _ in range(self.times):
            y = y * self.weight
        if self.times > 1:
            y = self.drop(y) * 2
        return y.reshape(-1, x.size(1) * 10), h + c


class Branches(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if bool(x.sum() > 0):
            return x
        return -x


class Packs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.LSTM(4, 5, batch_first=True)

    def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        _, (h, _) = self.rnn(pack_padded_sequence(x, lengths, batch_first=True))
        return h


def script(module: nn.Module, example: Any) -> Any:
    return torch.jit.script(module)


def trace(module: nn.Module, example: Any) -> Any:
    return torch.jit.trace(module, example)


def loaded(module: nn.Module, example: Any) -> Any:
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.script(module), buffer)
    buffer.seek(0)
    return torch.jit.load(buffer)


MAKE = [loaded, *(pytest.param(make, marks=pytest.mark.sweep) for make in (script, trace))]


@pytest.mark.parametrize("make", MAKE)
def test_a_module_of_torchscript_is_read(make: Any) -> None:
    torch.manual_seed(0)
    module = Tagger().eval()
    example = (torch.randn(2, 6, 4), (torch.randn(2, 2, 5), torch.randn(2, 2, 5)))
    made = make(module, example)
    names = {name: id(tensor) for name, tensor in made.named_parameters()}
    graph = torch_side.read(made, example)
    assert [str(value.tensor) for value in graph.inputs] == [
        "float32 (N, T, 4)",
        "float32 (2, N, 5)",
        "float32 (2, N, 5)",
    ]
    other = (torch.randn(3, 4, 4), (torch.randn(2, 3, 5), torch.randn(2, 3, 5)))
    arrays = [other[0].numpy(), *(state.numpy() for state in other[1])]
    with torch.no_grad():
        wanted = module(*other)
    for one, two in zip(reference.run(graph, arrays, "float32"), wanted, strict=True):
        np.testing.assert_allclose(one, two.numpy(), atol=1e-5)
    assert {name: id(tensor) for name, tensor in made.named_parameters()}.keys() == names.keys()


def test_what_torchscript_has_and_a_graph_not() -> None:
    lengths = torch.tensor([3, 2])
    traced = trace(Packs(), (torch.randn(2, 3, 4), lengths))
    with pytest.raises(
        UnsupportedError, match="TorchScript='packed sequences' is not supported; supported: padded"
    ):
        torch_side.read(traced, (torch.randn(2, 3, 4), lengths))
    with pytest.raises(UnsupportedError, match="Could not guard"):
        torch_side.read(script(Branches(), None), torch.randn(2, 3))
    with pytest.raises(InputError, match="does not take the example"):
        torch_side.read(traced, (torch.randn(2, 3, 9), lengths))
