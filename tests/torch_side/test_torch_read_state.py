"""A module that was read is what it was; what it keeps on itself, is given or gives in any form."""

from __future__ import annotations

import copy
import pickle
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

import biport
import biport.reference
import torch_side
from biport.compare.tolerance import Verdict
from biport.errors import BiportError, InputError, UnsupportedError
from biport.graph import Graph, Value
from biport.inputs import row_lengths
from testing.torch_graphs import GENERATOR, worst
from torch_side import inference

X = Value("x", ("N", "T", 3), "float32")


def frames(*shape: int, seed: int = 0) -> np.ndarray:
    return GENERATOR(seed).normal(size=shape).astype("float32")


def same(module: nn.Module, graph: Graph, arrays: list[np.ndarray], example: Any = None) -> None:
    """The module, the graph and what is written of it compute the same."""
    right = torch_side.run(module, arrays, example)
    assert worst(right, biport.reference.run(graph, arrays)) <= 1e-5
    assert worst(right, torch_side.run(torch_side.write(graph), arrays)) <= 1e-5


class Streaming(nn.Module):
    """Carries its state from call to call."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.state = nn.LSTM(3, 4, batch_first=True), None

    def forward(self, x):
        y, self.state = self.lstm(x) if self.state is None else self.lstm(x, self.state)
        return y


class Attentive(nn.Module):
    """Keeps what it attended to, for whoever wants to look, and does not read it again."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.score = nn.LSTM(3, 4, batch_first=True), nn.Linear(4, 1)
        self.weights, self.seen = None, []

    def forward(self, x):
        y, _ = self.lstm(x)
        self.weights = torch.softmax(self.score(y), 1)
        self.seen.append(self.weights)
        return torch.bmm(self.weights.transpose(1, 2), y)


def test_state_kept_on_the_module_is_refused_by_name_and_left_alone() -> None:
    module = Streaming().eval()
    with pytest.raises(UnsupportedError, match=r"Streaming: state='?state.*argument of forward"):
        torch_side.read(module)
    assert module.state is None
    assert module(torch.zeros(1, 2, 3)).shape == (1, 2, 4)


@pytest.mark.sweep
def test_what_is_kept_for_show_is_left_as_it_was() -> None:
    module = Attentive()
    graph = torch_side.read(module)
    assert (module.weights, module.seen) == (None, [])
    same(module, graph, [frames(2, 5, 3)])
    assert (module.weights, module.seen) == (None, [])
    module(torch.zeros(1, 2, 3))
    kept = module.weights
    assert torch_side.read(module) == graph
    assert module.weights is kept
    for again in (pickle.loads(pickle.dumps(Attentive())), copy.deepcopy(Attentive())):
        assert torch_side.read(again).nodes[0].name == "lstm"
    report = biport.verify(module, graph, inputs=[frames(2, 5, 3)], float64=True, gradients=True)
    assert report.verdict is Verdict.SAME, report.table


class Tied(nn.Module):
    """Looks rows up in a table, and computes with all of it."""

    def __init__(self, written: bool = False, max_norm: float | None = None) -> None:
        super().__init__()
        self.table, self.written = nn.Embedding(7, 3, max_norm=max_norm), written

    def forward(self, ids):
        first = next(self.parameters())
        x = self.table(ids) + torch.zeros(3, dtype=first.dtype, device=first.device)
        if self.written:
            first.mul_(1.5)
        return x, x @ first.t()


def test_rows_of_a_large_table_are_looked_up_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inference, "LARGE", 0)
    ids, table = torch.tensor([[1, 6, 0]]), torch.randn(7, 3)
    state, before = {"table": table}, table.clone()
    with inference.in_float64(state):
        rows, dtype, size = functional.embedding(ids, table), table.dtype, table.shape
    assert state["table"] is table
    assert (rows.dtype, dtype, size) == (torch.float64, torch.float64, (7, 3))
    assert torch.equal(rows, before.double()[ids])
    with inference.in_float64(state):
        product = table @ torch.ones(3)
        table.mul_(2.0)
        doubled = functional.embedding(ids, weight=table)
    assert torch.equal(product, before.double().sum(1))
    assert torch.equal(doubled, 2 * rows)
    assert torch.equal(state["table"], 2 * before.double())
    assert torch.equal(table, before)


def test_a_module_with_a_large_table_is_read_and_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inference, "LARGE", 0)
    module = Tied()
    same(module, torch_side.read(module), [np.array([[3, 0, 5]])])
    for writing in (Tied(written=True), Tied(max_norm=0.1)):
        before = writing.table.weight.clone()
        with pytest.raises(BiportError, match=r"state='?table\.weight|max_norm=0\.1"):
            torch_side.read(writing, torch.tensor([[3, 0, 5]]))
        assert torch.equal(writing.table.weight, before)


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(3, 4, batch_first=True)
        self.proj, self.fc = nn.Linear(3, 4), nn.Linear(4, 2)

    def forward(self, x):
        out, _ = self.lstm(x)
        skip, last = out, out.transpose(1, 2)
        out += self.proj(x)
        return self.fc(out + skip), last


def test_what_is_added_in_place_is_seen_under_every_name() -> None:
    module = Residual()
    same(module, torch_side.read(module), [frames(2, 6, 3)])


class Named(NamedTuple):
    scores: Tensor
    states: tuple[Tensor, Tensor]


class Everything(nn.Module):
    """Nested arguments, options that nobody names, and outputs in a mapping."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(3, 4, 3, padding=1)
        self.gru, self.lstm = nn.GRU(4, 4, batch_first=True), nn.LSTM(4, 4, batch_first=True)

    def forward(self, batch, states, hidden=None, *, scale=1.0, offset=None):
        y, _ = self.gru(torch.relu(self.conv(batch["x"].transpose(1, 2))).transpose(1, 2), hidden)
        y, final = self.lstm(y * scale + (0.0 if offset is None else offset), states)
        return {"logits": y, "aside": None, "named": Named(y.mean(1), final)}


EVERYTHING = (
    {"x": torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(0))},
    (torch.zeros(1, 2, 4), torch.ones(1, 2, 4)),
    {"offset": Value("offset", (4,), "float32")},
)


@pytest.mark.sweep
def test_nested_arguments_and_outputs_are_verified() -> None:
    module = Everything()
    graph = torch_side.read(module, EVERYTHING)
    names = ["batch_x", "states_0", "states_1", "offset"]
    assert [value.name for value in graph.inputs] == names
    assert graph.outputs[0] == "logits"
    assert [str(value.shape) for value in graph.inputs][1] == "(1, N, 4)"
    arrays = [frames(3, 7, 3), frames(1, 3, 4, seed=1), frames(1, 3, 4, seed=2), frames(4, seed=3)]
    same(module, graph, arrays, EVERYTHING)
    report = biport.verify(module, graph, example=EVERYTHING, float64=True, gradients=True)
    assert report.verdict is Verdict.SAME, report.table
    with pytest.raises(InputError, match=r"4 inputs \(batch_x, states_0, states_1, offset\), found 1"):
        torch_side.run(module, arrays[:1], EVERYTHING)


class Packed(nn.Module):
    """Takes a packed sequence, and gives one beside the last states."""

    def __init__(self) -> None:
        super().__init__()
        self.gru, self.fc = nn.GRU(3, 4, batch_first=True), nn.Linear(4, 2)

    def forward(self, packed):
        y, h = self.gru(packed)
        return y, self.fc(h[-1])


class ByLengths(nn.Module):
    """Packs by lengths that it is given, with the steps first."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(3, 4)

    def forward(self, x, lengths):
        packed = pack_padded_sequence(x, lengths)
        y, (h, _) = self.lstm(packed, (torch.zeros(1, x.size(1), 4), torch.ones(1, x.size(1), 4)))
        return pad_packed_sequence(y)[0], h[-1]


PACKED: PackedSequence = pack_padded_sequence(
    torch.randn(3, 5, 3, generator=torch.Generator().manual_seed(0)),
    torch.tensor([5, 4, 2]),
    batch_first=True,
)


def test_a_packed_sequence_is_an_array_and_lengths() -> None:
    module = Packed()
    graph = torch_side.read(module, PACKED)
    assert [value.name for value in graph.inputs] == ["packed", "packed_lengths"]
    assert [*row_lengths(graph)] == ["packed_lengths"]
    x, lengths = frames(4, 6, 3), np.array([2, 6, 1, 4])
    same(module, graph, [x, lengths], PACKED)
    report = biport.verify(module, graph, example=PACKED, float64=True, trace=True, gradients=True)
    assert report.verdict is Verdict.SAME, report.table


def test_lengths_that_are_packed_by_are_valid_ones_wherever_they_are_made() -> None:
    module, example = ByLengths(), (torch.zeros(5, 3, 3), [5, 4, 2])
    graph = torch_side.read(module, example)
    assert [str(value.shape) for value in graph.inputs] == ["(T, N, 3)", "(N,)"]
    report = biport.verify(module, graph, example=example, float64=True, gradients=True)
    assert report.verdict is Verdict.SAME, report.table


def test_rows_of_padding_stay_as_they_are() -> None:
    class Table(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(9, 3, padding_idx=0)
            self.lstm = nn.LSTM(3, 4, batch_first=True, bidirectional=True)

        def forward(self, ids):
            return self.lstm(self.table(ids))[0]

    module = Table()
    graph = torch_side.read(module)
    written = torch_side.write(graph)
    ids = torch.tensor([[3, 4, 0, 0], [5, 6, 7, 0]])
    for one in (module, written):
        one(ids).sum().backward()
        slope = one.get_parameter("table.weight").grad
        assert slope is not None
        assert not slope[0].any()
        assert slope[3].any()
    assert graph["table"].op.settings()["padding_idx"] == 0


@pytest.mark.sweep
def test_weights_computed_from_parameters_have_gradients_of_their_own() -> None:
    class Doubled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(2, 3, 2))
            self.norm = nn.LayerNorm(2)

        def forward(self, x):
            return self.norm(nn.functional.conv1d(x.transpose(1, 2), self.weight * 2.0).transpose(1, 2))

    arrays, cotangents = [frames(2, 5, 3)], [frames(2, 4, 2, seed=1)]
    module = Doubled()
    with pytest.raises(UnsupportedError, match=r"gradients='of .*weight, which is computed from parameters"):
        torch_side.gradients(module, arrays, cotangents, X)

    normed = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(3, 2)), nn.LayerNorm(2))
    cotangents = [frames(2, 5, 2, seed=1)]
    loss, slopes = torch_side.gradients(normed, arrays, cotangents, X)
    assert loss == pytest.approx(
        float((torch_side.run(normed, arrays, X)[0] * cotangents[0]).sum()), abs=1e-5
    )
    np.testing.assert_allclose(slopes["1.bias"], cotangents[0].sum((0, 1)), rtol=1e-5)
    length = "0.parametrizations.weight.original0.value"
    assert slopes[length].shape == (2, 1)
    assert slopes[length].any()
