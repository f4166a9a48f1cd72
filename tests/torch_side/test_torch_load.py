from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

import torch_side
from biport.errors import WeightError
from biport.graph import Graph, Node, Value
from testing.torch_graphs import bidirectional, dense, embedding
from torch_side.models import sentiment


class Plain(nn.Module):
    def __init__(self, num_layers: int = 2) -> None:
        super().__init__()
        self.table = nn.Embedding(20, 5)
        self.lstm = nn.LSTM(5, 4, num_layers, batch_first=True, bidirectional=True)
        self.head = nn.Linear(8, 2)

    def forward(self, ids):
        _, (h_n, _) = self.lstm(self.table(ids))
        return self.head(torch.cat([h_n[-2], h_n[-1]], dim=1))


@pytest.mark.parametrize("make", [Plain, lambda: Plain(1), lambda: sentiment(20, 3, (4, 5))])
def test_a_module_is_filled_bit_for_bit_in_place(make):
    one, two = make(), make()
    graph = torch_side.read(one)
    parameters = list(two.parameters())
    assert torch_side.read(two) != graph

    report = torch_side.load(two, graph)

    assert torch_side.read(two) == graph
    assert all(mine is yours for mine, yours in zip(parameters, two.parameters(), strict=True))
    assert report.filled == tuple(graph.weights())
    assert report.summed == ()


def graph(dtype: str = "float32", H: int = 4, head: str = "classifier") -> Graph:
    nodes = (
        Node("embedding", embedding(20, 3), ("ids",)),
        Node("bilstm_1", bidirectional(3, H, return_sequences=False), ("embedding",)),
        Node(head, dense(2 * H, 1, "sigmoid"), ("bilstm_1",)),
    )
    return Graph((Value("ids", ("N", "T"), "int64"),), nodes, (head,)).astype(dtype)


@pytest.mark.parametrize(
    "wrong, messages",
    [
        (
            graph(head="head"),
            ["no weights for classifier.bias", "no weights for classifier.weight", "has no head.bias"],
        ),
        (graph(H=5), ["bilstm_1.lstm.weight_hh_l0_reverse should be float32 (16, 4), found float32 (20, 5)"]),
        (graph("float64"), ["classifier.weight should be float32 (1, 8), found float64 (1, 8)"]),
    ],
)
def test_everything_that_does_not_fit_is_named_and_nothing_is_changed(wrong, messages):
    module = sentiment(20, 3, (4,))
    before = copy.deepcopy(module.state_dict())

    with pytest.raises(WeightError) as caught:
        torch_side.load(module, wrong)

    assert all(message in str(caught.value) for message in messages)
    assert all(torch.equal(before[name], tensor) for name, tensor in module.state_dict().items())


def test_a_graph_that_fits_fills_a_module_of_other_make():
    module = sentiment(20, 3, (4,))

    torch_side.load(module, graph())

    assert torch_side.read(module)["bilstm_1"].op == graph()["bilstm_1"].op
    assert not module.get_parameter("bilstm_1.lstm.bias_hh_l0").any()
