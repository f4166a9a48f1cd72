"""The length of a tensor varies, and what is written into its data counts."""

import builtins

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import torch_side
from biport.errors import UnsupportedError


class Lengths(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.GRU(3, 4)

    def forward(self, x: Tensor) -> Tensor:
        y, _ = self.rnn(x.view(len(x), 1, -1))
        y.data.mul_(2.0)
        return y.view(len(y), -1).data


def test_lengths_vary_and_data_are_traced() -> None:
    module = Lengths().eval()
    graph = torch_side.read(module, torch.randn(5, 3))
    assert str(graph.inputs[0].shape[0]) == "T"
    x = torch.randn(9, 3)
    (y,) = torch_side.run(torch_side.write(graph), [x.numpy()])
    np.testing.assert_allclose(y, module(x).detach().numpy(), rtol=0, atol=1e-6)


class Failing(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * 2 if x.sum() > len(x) else x


def test_python_is_what_it_was() -> None:
    before = builtins.len
    with pytest.raises(UnsupportedError, match="Failing"):
        torch_side.read(Failing(), torch.randn(5, 3))
    assert builtins.len is before
    assert "data" not in vars(torch.Tensor)
    x = torch.zeros(3)
    x.data = torch.ones(3)
    assert x.sum() == len(x)
