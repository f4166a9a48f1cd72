"""A recurrence over any cell in torch: a loop over a module, written, read back, refused and opened."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, fx, nn

import torch_side
from biport import ops, reference
from biport.graph import Graph, Node, frozen, penalties
from biport.weight_files import save_tensors
from testing import scans
from testing.recurrent_graphs import inputs_of
from torch_side.layers.errors import LayerInputError

SETTINGS = (
    {"return_sequences": True, "return_state": True},
    {"reverse": True, "return_state": True, "zero_output_for_mask": True},
    {"reverse": True, "return_sequences": True, "zero_output_for_mask": True},
    {},
)
MASKS = ("right", "left", "holes", "all padding")
FEW = {("peephole", 1)}
CASES = [
    pytest.param(name, at, marks=() if (name, at) in FEW else pytest.mark.sweep)
    for name in scans.CELLS
    for at in range(len(SETTINGS))
]


def graph_of(name: str, at: int, dtype: str = "float64") -> Graph:
    op = scans.CELLS[name](np.random.default_rng(1), dtype, **SETTINGS[at])
    return scans.graph_of(op, states=at == 1)


def arrays_of(graph: Graph, kind: str, N: int = 6, T: int = 7) -> list[np.ndarray]:
    arrays = inputs_of(graph.at({"S": 4}), np.random.default_rng(N), kind, N, T)
    return [array.astype(value.dtype) for array, value in zip(arrays, graph.inputs, strict=True)]


@pytest.mark.parametrize(("name", "at"), CASES)
def test_every_cell_is_written_and_read_back(name: str, at: int) -> None:
    graph = graph_of(name, at)
    module = torch_side.write(graph)
    for kind in MASKS:
        inputs = arrays_of(graph, kind)
        for mine, exact in zip(torch_side.run(module, inputs), reference.run(graph, inputs), strict=True):
            np.testing.assert_allclose(mine, exact, atol=1e-12, rtol=0)
    for again in (module, copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        assert torch_side.read(again) == graph


def test_a_cell_is_a_class_to_be_read(tmp_path: Path) -> None:
    graph = graph_of("IndRNN", 0, "float32")
    folder = torch_side.write_folder(graph, tmp_path / "m")
    assert (
        (folder / "model.py")
        .read_text()
        .partition("class CellCell(nn.Module):\n")[2]
        .startswith(
            '''    """One step: x (N, 5) and the states h (N, 3), to the output (N, 3) and the new
    states.
    """

    def __init__(self) -> None:
        super().__init__()
        self.u = nn.Parameter(torch.zeros((3,)))
        self.x_h = nn.Linear(5, 3)

    def forward(self, x: Tensor, states: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        (h,) = states
        x_h = self.x_h(x)  # (N, 3)
        add_3 = x_h + self.u * h  # (N, 3)
        y = torch.relu(add_3)  # (N, 3)
        return y, [y]
'''
        )
    )
    module = torch_side.load_folder(folder)
    state = {name: tensor + 1 for name, tensor in module.state_dict().items()}
    save_tensors(
        folder / "model.safetensors",
        {name: tensor.numpy() for name, tensor in state.items()},
        {"format": "pt"},
    )
    trained = torch_side.read_folder(folder)
    module.load_state_dict(state)
    inputs = arrays_of(graph, "holes")
    with torch.no_grad():
        given = module(*map(torch.tensor, inputs))
    for mine, exact in zip(given, reference.run(trained, inputs, "float64"), strict=True):
        np.testing.assert_allclose(mine, exact, atol=1e-5, rtol=0)


def test_cells_that_are_alike_have_one_class(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    one, two = (
        scans.graph_of(scans.peephole_lstm(rng, reverse=reverse), masked=False) for reverse in (False, True)
    )
    (forward,), (backward,) = one.nodes, two.nodes
    nodes = forward, Node("back", backward.op, ("x",))
    graph = Graph(one.inputs, nodes, ("y:0", "back"))
    source = (torch_side.write_folder(graph, tmp_path / "m") / "model.py").read_text()
    assert source.count("Recurrence(CellCell(), [3, 3]") == 2
    assert torch_side.read_folder(tmp_path / "m") == graph


class Own(nn.Module):
    """Somebody's module around a loop that was written."""

    def __init__(self, loop: nn.Module) -> None:
        super().__init__()
        self.loop = loop
        self.out = nn.Linear(7, 2)

    def forward(self, x: Tensor, mask: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        y, states = self.loop(x, mask=mask, constants=[memory])
        return self.out(torch.tanh(y)), states[0]


@pytest.mark.sweep
def test_a_loop_is_read_whole_in_any_module_and_traced_where_it_was_changed() -> None:
    written = torch_side.write(graph_of("attention", 0, "float32"))
    module = Own(written.get_submodule("cell"))
    rng = np.random.default_rng(0)

    def example(N: int, T: int, S: int) -> list[np.ndarray]:
        x, memory = (rng.normal(size=shape).astype("float32") for shape in ((N, T, 5), (N, S, 4)))
        return [x, rng.random((N, T)) < 0.7, memory]

    inputs = example(3, 6, 2)
    graph = torch_side.read(module, tuple(map(torch.tensor, example(2, 4, 5))))
    assert "Scan" in {node.op.kind for node in graph.nodes}
    with torch.no_grad():
        given = module(*map(torch.tensor, inputs))
    for mine, exact in zip(given, reference.run(graph, inputs), strict=True):
        np.testing.assert_allclose(mine, exact, atol=2e-6)

    cell = module.loop.get_submodule("cell")
    assert isinstance(cell, fx.GraphModule)
    for statement in cell.graph.nodes:
        if statement.target is torch.tanh:
            statement.target = torch.sin
    cell.recompile()
    with pytest.warns(UserWarning, match="axis 1 of x is fixed at 6"):
        changed = torch_side.read(module, tuple(map(torch.tensor, inputs)))
    assert "Scan" not in {node.op.kind for node in changed.nodes}


def test_states_and_masks_that_do_not_go_with_the_input_are_refused() -> None:
    loop = torch_side.write(graph_of("peephole", 0, "float32")).get_submodule("cell")
    x, h = torch.ones(2, 3, 5), torch.ones(2, 3)
    assert loop(x, [h, h])[0].shape == (2, 3, 3)
    for states, told in (
        ([h], "2 states, found 1"),
        ([h, h[:1]], r"state 1 should be \[2, 3\], found \[1, 3\]"),
    ):
        with pytest.raises(LayerInputError, match=told):
            loop(x, states)
    with pytest.raises(LayerInputError, match="the mask should be"):
        loop(x, mask=torch.ones(2, 2, dtype=torch.bool))


@pytest.mark.sweep
def test_what_training_does_with_the_weights_of_a_step_travels(tmp_path: Path) -> None:
    op = scans.peephole_lstm(np.random.default_rng(0), return_sequences=True)
    said = {
        "body.x_i": ops.Learning(frozen=frozenset({"weight", "bias"})),
        "body.h_f": ops.Learning(penalties={"weight": ops.Penalty(l2=0.5)}),
    }
    graph = scans.graph_of(op.with_learning(said))
    module = torch_side.write(graph)
    folder = torch_side.write_folder(graph, tmp_path / "m")
    wanted = 0.5 * (op.weights()["body.h_f.weight"] ** 2).sum()
    for one, again in (
        (module, torch_side.read(module)),
        (torch_side.load_folder(folder), torch_side.read_folder(folder)),
    ):
        assert frozen(again) == {"cell.body.x_i.weight", "cell.body.x_i.bias"}
        assert penalties(again) == {"cell.body.h_f.weight": ops.Penalty(l2=0.5)}
        stay = {name for name, parameter in one.named_parameters() if not parameter.requires_grad}
        assert stay == {"cell.cell.x_i.weight", "cell.cell.x_i.bias"}
        penalty: Any = one.penalty
        np.testing.assert_allclose(penalty().item(), wanted, rtol=1e-6)
