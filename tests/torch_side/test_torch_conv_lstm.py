"""ConvLSTM layers in torch: written, read back, traced in somebody's module, and trained with dropout."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import torch_side
from biport import ops, reference
from biport.errors import UnsupportedModelError
from biport.graph import Graph
from testing import conv_lstms
from testing.masks import MASKS
from torch_side import layers
from torch_side.layers.errors import LayerInputError

CASES = {case.name: case for case in conv_lstms.cases("float64")}
FEW = ["2D padding same strides 2 odd 3"]


def check_outputs(module: nn.Module, graph: Graph, *sizes: int, allowed: float = 1e-12) -> None:
    for pattern in MASKS:
        inputs = conv_lstms.inputs_of(graph, pattern, *sizes)
        for mine, exact in zip(torch_side.run(module, inputs), reference.run(graph, inputs), strict=True):
            np.testing.assert_allclose(mine, exact, rtol=0, atol=allowed, err_msg=pattern)


def check_case(name: str) -> None:
    for masked, states in ((True, False), (False, True), (True, True)):
        graph = CASES[name].graph(masked=masked, states=states)
        module = torch_side.write(graph)
        check_outputs(module, graph, 4, 5)
        assert torch_side.read(module) == graph


@pytest.mark.parametrize("name", FEW)
def test_written_and_read(name: str) -> None:
    check_case(name)


@pytest.mark.sweep
@pytest.mark.parametrize("name", CASES)
def test_every_setting_written_and_read(name: str, tmp_path: Path) -> None:
    check_case(name)
    graph = CASES[name].graph(masked=True, states=True).astype("float32")
    folder = torch_side.write_folder(graph, tmp_path / "m")
    assert torch_side.read_folder(folder) == graph
    check_outputs(torch_side.load_folder(folder), graph, 3, 4, allowed=1e-4)


def test_the_layer_in_a_folder(tmp_path: Path) -> None:
    case = next(case for case in conv_lstms.cases() if case.name == "2D padding same odd 0")
    folder = torch_side.write_folder(case.graph(masked=False, states=False), tmp_path / "m")
    source = (folder / "model.py").read_text()
    assert 'self.layer = ConvLSTM2d(2, 3, (3, 1), padding="same")' in source
    assert list(torch_side.load_folder(folder).state_dict()) == [
        *("layer.input_conv.weight", "layer.input_conv.bias", "layer.hidden_conv.weight")
    ]


class Own(nn.Module):
    """Somebody's module with the layers in it."""

    def __init__(self) -> None:
        super().__init__()
        self.one = layers.ConvLSTM2d(2, 3, 3, padding="same", zero_output_for_mask=False)
        self.two = layers.ConvLSTM2d(3, 4, (2, 3), stride=(2, 1), padding="same", activation=nn.ReLU())
        self.out = nn.Linear(4, 2)

    def forward(self, x: Tensor, mask: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        y, (_, last) = self.one(x, (h, c), mask=mask)
        y, _ = self.two(y)
        return self.out(y.mean(dim=(3, 4))), last


@pytest.mark.sweep
def test_a_module_of_somebodys_own() -> None:
    module = Own().eval()
    rng = np.random.default_rng(0)

    def example(N: int, T: int, height: int, width: int) -> list[np.ndarray]:
        x, h, c = (
            rng.normal(size=shape).astype("float32")
            for shape in ((N, T, 2, height, width), *[(N, 3, height, width)] * 2)
        )
        return [x, rng.random((N, T)) < 0.7, h, c]

    graph = torch_side.read(module, tuple(map(torch.tensor, example(2, 4, 6, 5))))
    assert sum(isinstance(node.op, ops.ConvLSTM2D) for node in graph.nodes) == 2
    assert [len({str(size) for size in value.shape}) for value in graph.inputs] == [5, 2, 4, 4]
    for sizes in ((3, 7, 6, 5), (1, 2, 9, 3)):
        inputs = example(*sizes)
        with torch.no_grad():
            given = module(*map(torch.tensor, inputs))
        for mine, exact in zip(given, reference.run(graph, inputs), strict=True):
            np.testing.assert_allclose(mine.numpy(), exact, rtol=0, atol=1e-5)


def test_an_activation_over_the_last_axis_is_none_of_features() -> None:
    module = nn.Sequential(layers.ConvLSTM1d(2, 3, 1, activation=nn.Softmax(dim=-1)))
    with pytest.raises(UnsupportedModelError, match="activation"):
        torch_side.read(module, torch.zeros(2, 4, 2, 5))


def test_states_and_masks_that_do_not_suit() -> None:
    layer, x = layers.ConvLSTM2d(2, 3, 3), torch.zeros(2, 4, 2, 5, 6)
    state = torch.zeros(2, 3, 5, 6)
    with pytest.raises(LayerInputError, match=r"state 0 should be \[2, 3, 3, 4\], found \[2, 3, 5, 6\]"):
        layer(x, (state, state))
    with pytest.raises(LayerInputError, match="the mask should be"):
        layer(x, mask=torch.ones(2, 3, dtype=torch.bool))


def test_dropout_in_training() -> None:
    """Each gate loses inputs of its own, the same at every step: with a kernel of 1 all of a channel or none
    shows in a gate; without dropout training computes the same."""
    torch.manual_seed(0)
    plain = layers.ConvLSTM1d(1, 1, 1, bias=False).train()
    x = torch.ones(64, 3, 1, 5)
    (trained, _), (evaluated, _) = plain(x), plain.eval()(x)
    torch.testing.assert_close(trained, evaluated)
    dropping = layers.ConvLSTM1d(1, 1, 1, bias=False, dropout=0.5).train()
    gates = dropping.input_gates(x)
    assert torch.equal(gates, gates[:, :1].expand_as(gates))
    weight = dropping.get_parameter("input_conv.weight")[:, 0, 0]
    whole = (2 * weight).reshape(1, 1, 4, 1).expand_as(gates)
    kept = gates != 0
    torch.testing.assert_close(gates, torch.where(kept, whole, torch.zeros(())))
    shares = kept.double().mean(dim=(0, 1, 3))
    assert ((shares - 0.5).abs() < 0.12).all()
    assert not torch.equal(kept[:, :, 0], kept[:, :, 1])
    recurrent = layers.ConvLSTM1d(1, 1, 1, recurrent_dropout=0.5).train()
    assert len(recurrent.recurrent_kept(torch.ones(2, 1, 5))) == 4
    assert recurrent(x)[0].shape == (64, 3, 1, 5)
    assert recurrent.eval().recurrent_kept(torch.ones(2, 1, 5)) == []


@pytest.mark.sweep
def test_it_can_be_scripted() -> None:
    layer = layers.ConvLSTM2d(2, 3, (3, 1), padding="same").eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scripted: Any = torch.jit.script(layer)
    x, mask = torch.randn(2, 4, 2, 5, 6), torch.rand(2, 4) < 0.6
    torch.testing.assert_close(scripted(x, mask=mask)[0], layer(x, mask=mask)[0])


class Cell(nn.Module):
    """As people write it: one convolution of the input and the state side by side."""

    def __init__(self, channels: int, hidden: int, kernel: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.conv = nn.Conv2d(channels + hidden, 4 * hidden, kernel, padding=kernel // 2)

    def forward(self, x: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        h, c = state
        i, f, o, g = torch.split(self.conv(torch.cat([x, h], dim=1)), self.hidden, dim=1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c


class Unrolled(nn.Module):
    """Two of them, over however many steps there are when it is traced."""

    def __init__(self) -> None:
        super().__init__()
        self.cells = nn.ModuleList([Cell(1, 4, 3), Cell(4, 3, 5)])
        self.out = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        for cell in self.cells:
            assert isinstance(cell, Cell)
            zeros = x.new_zeros(x.size(0), cell.hidden, x.size(3), x.size(4))
            state, steps = (zeros, zeros), []
            for t in range(x.size(1)):
                state = cell(x[:, t], state)
                steps.append(state[0])
            x = torch.stack(steps, dim=1)
        return self.out(x[:, -1].mean(dim=(2, 3)))


@pytest.mark.sweep
def test_somebodys_loop_over_cells_is_unrolled() -> None:
    module, rng = Unrolled().eval(), np.random.default_rng(0)
    graph = torch_side.read(module, torch.zeros(2, 4, 1, 6, 5))
    assert sum(isinstance(node.op, ops.Conv2D) for node in graph.nodes) == 8
    for sizes in ((3, 6, 5), (1, 7, 9)):
        x = rng.normal(size=(sizes[0], 4, 1, *sizes[1:])).astype("float32")
        with torch.no_grad():
            given = module(torch.tensor(x)).numpy()
        np.testing.assert_allclose(given, reference.run(graph, [x])[0], rtol=0, atol=1e-6)
