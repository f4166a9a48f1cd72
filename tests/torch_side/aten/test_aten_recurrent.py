"""Recurrent layers and cells, in one module where a trace can have several."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

import biport.reference
import torch_side
from biport import ops
from biport.errors import UnsupportedError
from biport.graph import Graph

LENGTHS = torch.tensor([6, 4, 1])


def steps(*shape: int, seed: int = 3) -> torch.Tensor:
    return torch.as_tensor(np.random.default_rng(seed).normal(size=shape), dtype=torch.float32)


class Of(nn.Module):
    """Layers with weights far from what they begin with, and any outputs of them."""

    def __init__(self, rules: Any, **parts: nn.Module) -> None:
        super().__init__()
        self.rules = rules
        for name, part in parts.items():
            self.add_module(name, part)
        generator = torch.Generator().manual_seed(4)
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=0.5, generator=generator)

    def forward(self, *args: Any) -> Any:
        if callable(self.rules):
            return self.rules(self, *args)
        return {name: rule(self, *args) for name, rule in self.rules.items()}


def read(
    rules: Any, inputs: tuple[torch.Tensor, ...], *others: tuple[torch.Tensor, ...], **parts: nn.Module
) -> Graph:
    """The graph, which computes what the module does of these inputs, and of others."""
    module = Of(rules, **parts).eval()
    graph = torch_side.read(module, inputs)
    for given in (inputs, *others):
        with torch.no_grad():
            wanted = module(*given)
        actual = biport.reference.run(graph, [x.numpy() for x in given])
        for (name, one), two in zip(wanted.items(), actual, strict=True):
            np.testing.assert_allclose(two, one.numpy(), rtol=2e-5, atol=2e-6, err_msg=name)
    return graph


def kinds(graph: Graph) -> list[str]:
    return [node.op.kind for node in graph.nodes]


def joined(h: torch.Tensor) -> torch.Tensor:
    return h.permute(1, 0, 2).reshape(h.size(1), -1)


STATES = {
    "whole": lambda h: h,
    "h[-1]": lambda h: h[-1],
    "h[-2:]": lambda h: joined(h[-2:]),
    "cat": lambda h: torch.cat((h[-2], h[-1]), 1),
    "view": lambda h: torch.cat(tuple(h.view(2, 2, h.size(1), 3)[-1]), 1),
    "transposed": lambda h: h.transpose(0, 1).contiguous().view(h.size(1), -1),
    "of a row": lambda h: h[:, 0],
}
STARTED = {
    "zeros": lambda m, x, h, c: m.one(x, (torch.zeros(1, x.size(0), 3), x.new_zeros(1, x.size(0), 3)))[0],
    "arguments": lambda m, x, h, c: m.one(x, (h, c))[0],
    "one of zeros": lambda m, x, h, c: m.one(x, (h, torch.zeros_like(h)))[1][1],
    "of another layer": lambda m, x, h, c: m.three(x, torch.cat(list(m.two(x)[1][-2:]), 1).unsqueeze(0))[0],
    "learned": lambda m, x, h, c: m.three(x, m.three.weight_hh_l0[:6, 0].expand(1, x.size(0), 6))[1],
    "time first": lambda m, x, h, c: m.first(x.transpose(0, 1))[0][-1],
}  # fmt: skip


def layers() -> dict[str, nn.Module]:
    return {
        "one": nn.LSTM(4, 3, batch_first=True),
        "two": nn.GRU(4, 3, 2, batch_first=True, bidirectional=True, dropout=0.3),
        "three": nn.GRU(4, 6, batch_first=True, bias=False),
        "first": nn.RNN(4, 3, 2, nonlinearity="relu"),
    }


def in_every_way(m: Any, x: torch.Tensor) -> dict[str, torch.Tensor]:
    h, c = m.two(x)[1], m.one(x)[1][1]
    return {"squeezed": c.squeeze(0), **{name: rule(h) for name, rule in STATES.items()}}


@pytest.mark.sweep
def test_states_taken_in_any_way() -> None:
    read(in_every_way, (steps(3, 6, 4),), (steps(1, 2, 4),), **layers())


def test_states_that_layers_begin_with() -> None:
    start = steps(1, 3, 3), steps(1, 3, 3, seed=5)

    graph = read(
        STARTED, (steps(3, 6, 4), *start), (steps(2, 1, 4), steps(1, 2, 3), steps(1, 2, 3)), **layers()
    )

    (given,) = {value.shape[1] for value in graph.inputs[1:]}
    assert given == graph.inputs[0].shape[0]


@pytest.mark.parametrize(
    "rule", ["view", *(pytest.param(name, marks=pytest.mark.sweep) for name in ("h[-2:]", "cat"))]
)
def test_final_states_are_what_the_layer_gives(rule: str) -> None:
    graph = read({rule: lambda m, x: STATES[rule](m.two(x)[1])}, (steps(3, 6, 4),), two=layers()["two"])

    last = graph.nodes[-1]
    assert isinstance(last.op, ops.Bidirectional)
    assert not last.op.forward.return_sequences
    assert kinds(graph) == ["Bidirectional", "Dropout", "Bidirectional"]


def packed(m: Any, x: torch.Tensor, lengths: Any, **settings: Any) -> Any:
    rows = pack_padded_sequence(x, lengths, batch_first=True, **settings)
    return m.two(m.one(rows)[0])


def in_every_packing(m: Any, x: torch.Tensor, n: torch.Tensor) -> dict[str, torch.Tensor]:
    """A layer upon another over one packed sequence, and what becomes of it."""
    below = m.one(pack_padded_sequence(x, n, batch_first=True))[0]
    above, h = m.two(below)
    unsorted, _ = m.two(pack_padded_sequence(x[..., 1:], n, batch_first=True, enforce_sorted=False))
    return {
        "padded back": pad_packed_sequence(above, batch_first=True)[0],
        "states": joined(h),
        "as long as before": pad_packed_sequence(unsorted, batch_first=True, total_length=x.size(1))[0],
        "padded with": pad_packed_sequence(below, padding_value=-1.0)[0],
        "data": again(m, below),
    }


def packed_parts() -> dict[str, nn.Module]:
    return {
        "one": nn.LSTM(4, 3, batch_first=True),
        "two": nn.GRU(3, 2, batch_first=True, bidirectional=True),
        "linear": nn.Linear(3, 2),
    }


def again(m: Any, sequence: PackedSequence) -> torch.Tensor:
    rows = PackedSequence(m.linear(sequence.data), *sequence[1:])
    return pad_packed_sequence(rows, batch_first=True)[0]


def test_packed_sequences() -> None:
    other = steps(4, 3, 4), torch.tensor([3, 3, 2, 1])

    graph = read(in_every_packing, (steps(3, 6, 4), LENGTHS), other, **packed_parts())

    # One mask, however often its lengths are compared.
    masked = [node for node in graph.nodes if isinstance(node.op, ops.LSTM | ops.Bidirectional)]
    assert len(masked) == 3
    assert len({node.masks[0] for node in masked}) == 1


class Tagger(nn.Module):
    """Lengths counted in ``forward``, as a tensor, a list or an array; rows sorted by them, and back."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way = way
        self.table = nn.Embedding(9, 4, padding_idx=0)
        self.lstm = nn.LSTM(4, 3, batch_first=True, bidirectional=True)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        lengths, x = (ids != 0).sum(1), self.table(ids)
        if self.way == "sorted":
            lengths, order = lengths.sort(descending=True)
            rows = pack_padded_sequence(x[order], lengths.cpu(), batch_first=True)
            return pad_packed_sequence(self.lstm(rows)[0], batch_first=True)[0][order.argsort()]
        given = {"list": lambda: lengths.tolist(), "array": lambda: lengths.cpu().numpy()}[self.way]()
        rows = pack_padded_sequence(x, given, batch_first=True, enforce_sorted=False)
        return pad_packed_sequence(self.lstm(rows)[0], batch_first=True, total_length=ids.size(1))[0]


@pytest.mark.parametrize("way", ["sorted", "list", pytest.param("array", marks=pytest.mark.sweep)])
def test_lengths_that_forward_counts(way: str) -> None:
    ids = torch.tensor([[5, 3, 0, 0, 0], [1, 2, 3, 4, 5], [7, 0, 0, 0, 0]])
    module = Tagger(way).eval()
    graph = torch_side.read(module, (ids,))
    for given in (ids, torch.tensor([[8, 8], [3, 0]])):
        with torch.no_grad():
            wanted = module(given).numpy()
        np.testing.assert_allclose(
            biport.reference.run(graph, [given.numpy()])[0], wanted, rtol=2e-5, atol=2e-6
        )


CELLS = {
    "lstm": lambda m, x, h, c: m.lstm(x, (h, c))[1],
    "lstm from zeros": lambda m, x, h, c: m.lstm(x)[0],
    "gru": lambda m, x, h, c: m.gru(x, h),
    "rnn": lambda m, x, h, c: m.rnn(x, h),
    "three steps": lambda m, x, h, c: m.gru(x, m.gru(x * 2, m.gru(x, h))),
}


def test_steps_of_cells() -> None:
    parts = {
        "lstm": nn.LSTMCell(4, 3),
        "gru": nn.GRUCell(4, 3, bias=False),
        "rnn": nn.RNNCell(4, 3, nonlinearity="relu"),
    }

    graph = read(CELLS, (steps(5, 4), steps(5, 3), steps(5, 3, seed=1)), **parts)

    shared = [node.op for node in graph.nodes if isinstance(node.op, ops.GRU)]
    assert len(shared) == 4
    assert len(set(map(id, shared))) == 1


@pytest.mark.parametrize("bidirectional", [False, pytest.param(True, marks=pytest.mark.sweep)])
@pytest.mark.filterwarnings("ignore:LSTM with projections")
@pytest.mark.sweep
def test_a_projected_state_is_a_plain_layer_and_a_projection(bidirectional: bool) -> None:
    lstm = nn.LSTM(4, 5, 2, proj_size=2, batch_first=True, bidirectional=bidirectional)

    graph = read(
        {"y": lambda m, x: m.lstm(x)[0], "h": lambda m, x: m.lstm(x)[1][0]}, (steps(3, 6, 4),), lstm=lstm
    )

    assert "Dense" in kinds(graph)
    start = steps(2 * (1 + bidirectional), 3, 2), steps(2 * (1 + bidirectional), 3, 5)
    module = Of({"y": lambda m, x, h, c: m.lstm(x, (h, c))[0]}, lstm=lstm)
    with pytest.raises(UnsupportedError, match="proj_size"):
        torch_side.read(module, (steps(3, 6, 4), *start))


def test_a_layer_over_a_single_sequence() -> None:
    read(
        {"y": lambda m, x: m.lstm(x)[0], "c": lambda m, x: m.lstm(x)[1][1]},
        (steps(6, 4),),
        lstm=nn.LSTM(4, 3),
    )


def test_weights_made_of_parameters_are_folded() -> None:
    lstm = nn.utils.parametrizations.weight_norm(nn.LSTM(4, 3, batch_first=True), "weight_hh_l0")

    assert kinds(read({"y": lambda m, x: m.lstm(x)[0]}, (steps(3, 6, 4),), lstm=lstm)) == ["LSTM"]


def test_sequences_and_states_are_there_where_they_are_used() -> None:
    rules = {"h": lambda m, x: m.lstm(x)[1][0][-1], "again": lambda m, x: m.lstm(x * 2)[1][0][-1]}
    graph = read(rules, (steps(3, 6, 4),), lstm=nn.LSTM(4, 3, batch_first=True))

    one, two = [node for node in graph.nodes if isinstance(node.op, ops.LSTM)]
    assert one.op is two.op
    assert isinstance(one.op, ops.LSTM)
    assert not one.op.return_sequences
    assert not one.op.return_state
