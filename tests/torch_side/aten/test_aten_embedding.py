from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

import biport.reference
import torch_side
from biport import ops
from biport.errors import UnsupportedError
from testing.torch_graphs import GENERATOR, worst

IDS = torch.as_tensor(GENERATOR(0).integers(0, 7, (3, 5)))
IDS[1] = 3
WEIGHTS = torch.as_tensor(GENERATOR(1).normal(size=(3, 5)), dtype=torch.float32)


class Tied(nn.Module):
    """A language model that reads and predicts by one table, in one of several ways."""

    def __init__(self, how: str, padding_idx: int | None = None) -> None:
        super().__init__()
        self.how = how
        self.table = nn.Embedding(7, 4, padding_idx)
        self.head = nn.Linear(4, 7, bias=how == "bias")
        if how in ("bias", "none"):
            self.head.weight = self.table.weight

    def forward(self, ids):
        x = torch.tanh(self.table(ids))
        match self.how:
            case "functional":
                return functional.linear(x, self.table.weight)
            case "matmul":
                return x @ self.table.weight.t()
            case "part":
                return functional.linear(x, self.table.weight[1:4])
            case "computed":
                return functional.embedding(ids, self.table.weight.tanh() * 2)
        return self.head(x)


class Each(nn.Module):
    """Several modules over the same ids; bags of which some count and some are weighted."""

    def __init__(self, **parts: nn.Module) -> None:
        super().__init__()
        self.parts = nn.ModuleDict(parts)

    def forward(self, ids, weights):
        return {
            name: part(ids, per_sample_weights=weights) if name.startswith("weighted") else part(ids)
            for name, part in self.parts.items()
        }


def agrees(module: nn.Module, *example: torch.Tensor):
    """The graph, of the same numbers, as is what is written from it."""
    torch.manual_seed(0)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.7)
    graph = torch_side.read(module.eval(), example)
    arrays = [x.numpy() for x in example]
    with torch.no_grad():
        result = module(*example)
    wanted = [x.numpy() for x in (result.values() if isinstance(result, dict) else [result])]
    assert worst(wanted, biport.reference.run(graph, arrays[: len(graph.inputs)])) <= 1e-6
    written = torch_side.write(graph)
    assert worst(torch_side.run(written, arrays[: len(graph.inputs)]), wanted) <= 1e-6
    return graph, written


@pytest.mark.parametrize(
    "how",
    [
        "bias",
        *(pytest.param(how, marks=pytest.mark.sweep) for how in ("none", "functional", "matmul", "part")),
    ],
)
def test_a_table_that_is_used_twice_is_one_parameter_and_trains_as_such(how):
    module = Tied(how)
    graph, written = agrees(module, IDS)

    own = [node.op for node in graph.nodes if node.op.weights()]
    parameters = [op.value for op in own if isinstance(op, ops.Parameter)]
    assert len(parameters) == len(own)
    assert sum(value.shape == (7, 4) for value in parameters) == 1

    module(IDS).square().sum().backward()
    written(IDS).square().sum().backward()
    gradients = {p.shape: p.grad for p in written.parameters()}
    for parameter in module.parameters():
        if parameter.grad is not None:
            torch.testing.assert_close(parameter.grad, gradients[parameter.shape], rtol=1e-4, atol=1e-5)


def test_padding_of_a_tied_table_is_noted():
    with pytest.warns(UserWarning, match="padding_idx=0 of a weight that is used elsewhere too"):
        torch_side.read(Tied("bias", 0), (IDS,))


def test_tables_that_are_computed_or_read_twice_or_give_bags():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.Embedding(7, 4, padding_idx=-1)

        def forward(self, ids):
            return self.table(ids) + self.table(ids.flip(1))

    bags = {
        f"{mode} {padding}": nn.EmbeddingBag(7, 4, mode=mode, padding_idx=padding)
        for mode in ("sum", "mean", "max")
        for padding in (None, 3)
    }
    weighted = {f"weighted {pad}": nn.EmbeddingBag(7, 4, mode="sum", padding_idx=pad) for pad in (None, 3)}
    graph, _ = agrees(Each(twice=Twice(), computed=Tied("computed"), **bags, **weighted), IDS, WEIGHTS)

    one, two, *others = (node.op for node in graph.nodes if isinstance(node.op, ops.Embedding))
    assert one is two
    assert one.padding_idx == 6
    assert [op.padding_idx for op in others] == [None, 3] * 4
    assert [node.name for node in graph.nodes if isinstance(node.op, ops.Parameter)] == [
        "parts.computed.table.weight"
    ]


def test_what_is_not_exact_is_refused():
    with pytest.raises(UnsupportedError, match="max_norm"):
        torch_side.read(nn.Embedding(7, 4, max_norm=1.0), (IDS,))
    with pytest.raises(UnsupportedError, match="bags of ids in a row"):
        torch_side.read(nn.EmbeddingBag(7, 4), (IDS[0], torch.tensor([0, 2])))
