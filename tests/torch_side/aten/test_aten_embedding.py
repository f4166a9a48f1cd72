from __future__ import annotations

import copy

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
ROW = torch.as_tensor([1, 0, 3, 6, 2, 0, 5])
OFFSETS = torch.as_tensor([0, 2, 2, 5])


class Tied(nn.Module):
    """A language model that reads and predicts by one table."""

    def __init__(self, how: str, padding_idx: int | None = None) -> None:
        super().__init__()
        self.how = how
        self.table = nn.Embedding(7, 4, padding_idx)
        self.head = nn.Linear(4, 7, bias=how == "bias")
        if how in ("bias", "none"):
            self.head.weight = self.table.weight

    def forward(self, ids):
        x = torch.tanh(self.table(ids))
        if self.how == "functional":
            return functional.linear(x, self.table.weight)
        if self.how == "matmul":
            return x @ self.table.weight.t()
        if self.how == "part":
            return functional.linear(x, self.table.weight[1:4])
        return self.head(x)


class Bags(nn.Module):
    def __init__(self, **settings) -> None:
        super().__init__()
        self.bag = nn.EmbeddingBag(7, 4, **settings)

    def forward(self, ids, other=None):
        return self.bag(ids, other)


class Weighted(nn.Module):
    def __init__(self, padding_idx: int | None) -> None:
        super().__init__()
        self.bag = nn.EmbeddingBag(7, 4, mode="sum", padding_idx=padding_idx)

    def forward(self, ids, weights):
        return self.bag(ids, per_sample_weights=weights)


def seeded(module: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.7)
    return module.eval()


def agrees(module: nn.Module, *example: torch.Tensor, others: list[torch.Tensor] | None = None):
    graph = torch_side.read(seeded(module), example)
    given = list(others or example)
    with torch.no_grad():
        wanted = module(*given)
    arrays = [x.numpy() for x in given]
    assert worst([wanted.numpy()], biport.reference.run(graph, arrays)) <= 1e-6
    assert worst(torch_side.run(torch_side.write(graph), arrays), [wanted.numpy()]) <= 1e-6
    return graph


@pytest.mark.parametrize("how", ["bias", "none", "functional", "matmul", "part"])
def test_a_table_that_is_used_twice_is_one_parameter(how):
    module = Tied(how)
    graph = agrees(module, IDS)

    own = [node.op for node in graph.nodes if node.op.weights()]
    assert all(isinstance(op, ops.Parameter) for op in own)
    assert sum(op.value.shape == (7, 4) for op in own) == 1


def test_a_tied_table_trains_as_torch_trains_it():
    module = Tied("bias")
    written = torch_side.write(agrees(module, IDS))
    gradients = []
    for part in (module, written):
        output = part(IDS)
        output = output[0] if isinstance(output, list | tuple) else output
        output.square().sum().backward()
        gradients.append({p.grad.shape: p.grad for p in part.parameters() if p.grad is not None})

    assert gradients[0].keys() == gradients[1].keys()
    for shape, gradient in gradients[0].items():
        torch.testing.assert_close(gradient, gradients[1][shape])


def test_padding_of_a_tied_table_is_noted():
    with pytest.warns(UserWarning, match="padding_idx=0 of a weight that is used elsewhere too"):
        torch_side.read(Tied("bias", 0), (IDS,))


def test_one_table_read_twice_is_one_layer_that_keeps_its_padding():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.Embedding(7, 4, padding_idx=-1)

        def forward(self, ids):
            return self.table(ids) + self.table(ids.flip(1))

    graph = agrees(Twice(), IDS)

    one, two = (node.op for node in graph.nodes if node.op.kind == "Embedding")
    assert one is two
    assert one.padding_idx == 6


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
@pytest.mark.parametrize("padding_idx", [None, 3])
def test_bags_of_one_length(mode, padding_idx):
    ids = copy.deepcopy(IDS)
    ids[1] = 3
    agrees(Bags(mode=mode, padding_idx=padding_idx), ids)


@pytest.mark.parametrize("padding_idx", [None, 0])
def test_weighted_bags(padding_idx):
    agrees(Weighted(padding_idx), IDS, torch.as_tensor(GENERATOR(1).normal(size=(3, 5)), dtype=torch.float32))


def test_a_table_that_is_computed_is_read_as_it_is():
    class Computed(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.Parameter(torch.zeros(7, 4))

        def forward(self, ids):
            return functional.embedding(ids, self.table.tanh() * 2)

    graph = agrees(Computed(), IDS)

    assert [node.op.kind for node in graph.nodes if isinstance(node.op, ops.Parameter | ops.Take)] == [
        "Parameter",
        "Take",
    ]


REFUSED = {
    "max_norm=1.0": nn.Embedding(7, 4, max_norm=1.0),
    "offsets": Bags(mode="sum"),
}


@pytest.mark.parametrize("word, module", REFUSED.items())
def test_what_is_not_exact_is_refused(word, module):
    example = (ROW, OFFSETS) if isinstance(module, Bags) else (IDS,)
    with pytest.raises(UnsupportedError, match=word):
        torch_side.read(module, example)
