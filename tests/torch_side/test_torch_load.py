from __future__ import annotations

import copy
import dataclasses

import pytest
import torch
from torch import nn

import torch_side
from biport.errors import InputError, SettingsError, WeightError
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
@pytest.mark.sweep
def test_a_module_is_filled_bit_for_bit_in_place(make):
    one, two = make(), make()
    graph = torch_side.read(one)
    parameters = list(two.parameters())
    pairs = list(zip(one.parameters(), parameters, strict=True))
    assert not all(torch.equal(mine, yours) for mine, yours in pairs)

    report = torch_side.load(two, graph)

    assert all(torch.equal(mine, yours) for mine, yours in pairs)
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
        (graph(H=5), ["bilstm_1.weight_hh_l0_reverse should be float32 (16, 4), found float32 (20, 5)"]),
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
    before = copy.deepcopy(module.state_dict())
    with pytest.raises(SettingsError, match="'embedding': mask_zero is True, the graph's False"):
        torch_side.load(module, graph())
    assert all(torch.equal(before[name], tensor) for name, tensor in module.state_dict().items())

    torch_side.load(module, graph(), settings="ignore")

    assert torch_side.read(module)["bilstm_1"].op == graph()["bilstm_1"].op
    assert not module.get_parameter("bilstm_1.bias_hh_l0").any()


class Tagger(nn.Module):
    def __init__(self, function=torch.tanh, nonlinearity="tanh", eps=1e-5, padding_idx=None) -> None:
        super().__init__()
        self.function = function
        self.table = nn.Embedding(20, 6, padding_idx=padding_idx)
        self.rnn = nn.RNN(6, 4, 2, batch_first=True, nonlinearity=nonlinearity, dropout=0.1)
        self.norm = nn.LayerNorm(4, eps=eps)
        self.head = nn.Linear(4, 3)

    def forward(self, ids):
        return self.function(self.head(self.norm(self.rnn(self.table(ids))[0])))


class Branching(Tagger):
    """What cannot be read: only its layers can."""

    def forward(self, ids):
        if (ids > 100).any():
            ids = ids % 100
        return super().forward(ids)


OTHER = {"nonlinearity": "relu", "eps": 1e-3}
DIFFERENCES = [
    ("rnn.l0", "activation", "relu", "tanh"),
    ("rnn.l1", "activation", "relu", "tanh"),
    ("norm", "epsilon", 1e-3, 1e-5),
]


@pytest.mark.parametrize("kind", [Tagger, pytest.param(Branching, marks=pytest.mark.sweep)])
def test_settings_that_differ_are_named_all_of_them(kind):
    graph = torch_side.read(Tagger())
    differing = kind(torch.relu, **OTHER)
    before = copy.deepcopy(differing.state_dict())
    with pytest.raises(SettingsError) as caught:
        torch_side.load(differing, graph)
    named = [dataclasses.astuple(difference) for difference in caught.value.differences]
    # What forward does with the layers is known only where it can be read.
    head = [("head", "activation", "relu", "tanh")] if kind is Tagger else []
    assert sorted(named) == sorted(DIFFERENCES + head)
    for words in ("settings='ignore'", "layer 'norm': epsilon is 0.001, the graph's 1e-05"):
        assert words in str(caught.value)
    assert all(torch.equal(before[name], tensor) for name, tensor in differing.state_dict().items())

    torch_side.load(differing, graph, settings="ignore")
    assert torch.equal(differing.head.weight, torch.from_numpy(graph["head"].op.weights()["weight"]))


@pytest.mark.parametrize("kind", [Tagger, pytest.param(Branching, marks=pytest.mark.sweep)])
def test_what_training_alone_knows_may_differ(kind):
    twin = kind(padding_idx=0)
    twin.rnn.dropout = 0.5
    with torch.no_grad():
        twin.head.weight.fill_(float("nan"))
    graph = torch_side.read(Tagger())
    assert torch_side.load(twin, graph).filled == ("table", "rnn.l0", "rnn.l1", "norm", "head")


@pytest.mark.sweep
def test_what_stands_in_a_refused_module_stays_whatever_it_is():
    twin = Tagger(eps=1.0)
    with torch.no_grad():
        twin.head.weight.fill_(float("nan"))
    with pytest.raises(SettingsError, match="epsilon"):
        torch_side.load(twin, torch_side.read(Tagger()))
    assert twin.head.weight.isnan().all()


@pytest.mark.sweep
def test_a_layer_that_is_not_read_is_no_equal():
    twin = Branching()
    twin.table.max_norm = 1.0
    with pytest.raises(SettingsError, match=r"'table': max_norm is 1\.0"):
        torch_side.load(twin, torch_side.read(Tagger()))
    with pytest.raises(InputError, match="'check' or 'ignore'"):
        torch_side.load(twin, torch_side.read(Tagger()), settings="no")  # pyright: ignore[reportArgumentType]
