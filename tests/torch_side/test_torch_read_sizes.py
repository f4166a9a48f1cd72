"""Which sizes of a traced module vary, what they are called, and what is fixed with a word about it."""

from __future__ import annotations

import builtins
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import rnn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import torch_side
from biport.errors import InputError, UnsupportedError
from biport.graph import Graph, Value


class Rule(nn.Module):
    """A ``forward`` of one function over named layers."""

    def __init__(self, rule: Callable[..., Any], **parts: nn.Module) -> None:
        super().__init__()
        self.rule = rule
        for name, part in parts.items():
            self.add_module(name, part)

    def forward(self, *inputs: Tensor) -> Any:
        return self.rule(self, *inputs)


def shapes(graph: Graph) -> list[str]:
    return [str(value.tensor) for value in graph.inputs]


def normal(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(len(shape)))


def test_letters_are_those_of_batch_and_time_wherever_they_are() -> None:
    module = Rule(lambda m, x, h: m.gru(x, h), gru=nn.GRU(3, 4))
    graph = torch_side.read(module, (normal(5, 2, 3), normal(1, 2, 4)))
    assert shapes(graph) == ["float32 (T, N, 3)", "float32 (1, N, 4)"]
    assert [str(graph.tensors[name]) for name in graph.outputs] == ["float32 (T, N, 4)", "float32 (1, N, 4)"]


def test_sizes_of_one_vary_where_the_module_takes_that() -> None:
    module = Rule(lambda m, x, h: m.gru(x, h)[0], gru=nn.GRU(3, 4, batch_first=True))
    graph = torch_side.read(module, (normal(1, 1, 3), normal(1, 1, 4)))
    assert shapes(graph) == ["float32 (N, T, 3)", "float32 (1, N, 4)"]


def test_features_that_are_put_side_by_side_are_fixed() -> None:
    module = Rule(lambda m, a, b: m.fc(torch.cat([a, b], -1)), fc=nn.Linear(7, 2))
    assert shapes(torch_side.read(module, (normal(3, 5, 4), normal(3, 5, 3)))) == [
        "float32 (N, T, 4)",
        "float32 (N, T, 3)",
    ]


def test_steps_that_are_joined_leave_their_features_fixed() -> None:
    def halved(m: Any, x: Tensor) -> Tensor:
        N, T, D = x.size()
        return m.lstm(x.view(N, T // 2, D * 2))[0]

    with pytest.warns(UserWarning, match="not compared at .*T = 11"):
        graph = torch_side.read(
            Rule(halved, lstm=nn.LSTM(6, 2, batch_first=True, bidirectional=True)), normal(3, 6, 3)
        )
    assert shapes(graph) == ["float32 (N, T, 3)"]
    assert str(graph.tensors[graph.outputs[0]]) == "float32 (N, T//2, 4)"


def squeezed(m: Any, x: Tensor) -> Tensor:
    y = m.conv(x)
    assert y.size(2) == 1
    return m.lstm(y.squeeze(2).transpose(1, 2))[0]


def put_together(m: Any, x: Tensor) -> Tensor:
    y = m.conv(x)
    return m.wide(y.permute(3, 0, 1, 2).reshape(y.size(3), y.size(0), -1))[0]


def unbound(m: Any, x: Tensor) -> Tensor:
    y = m.conv(x)
    return m.wide(torch.cat([y.unbind(2)[0], y[:, :, -1]], 1).permute(2, 0, 1))[0]


def laid_flat(m: Any, x: Tensor) -> Tensor:
    return m.lstm(m.conv(x).flatten(1, 2).transpose(1, 2))[0]


@pytest.mark.parametrize(
    ("rule", "height"),
    [
        (laid_flat, 5),
        *(
            pytest.param(*one, marks=pytest.mark.sweep)
            for one in ((squeezed, 5), (put_together, 8), (unbound, 8))
        ),
    ],
)
def test_a_height_that_has_to_come_to_one_number_is_fixed(rule: Any, height: int) -> None:
    parts = {"lstm": nn.LSTM(2, 3, batch_first=True), "wide": nn.GRU(4, 3)}
    module = Rule(rule, conv=nn.Conv2d(1, 2, 4, stride=3), **parts)
    graph = torch_side.read(module, normal(2, 1, height, 13))
    assert shapes(graph) == [f"float32 (N, 1, {height}, T)"]


def test_what_a_loop_takes_one_by_one_is_as_long_as_the_loop() -> None:
    def steps(m: Any, x: Tensor, gate: Tensor) -> Tensor:
        h = x.new_zeros(x.size(0), 2)
        for t in range(x.size(1)):
            h = m.cell(x[:, t] * gate[:, t], h)
        return h

    module = Rule(steps, cell=nn.GRUCell(3, 2))
    with pytest.warns(UserWarning, match="axis 1 of inputs_0 is fixed at 4: forward computes with that"):
        graph = torch_side.read(module, (normal(2, 4, 3), normal(2, 4, 3)))
    assert shapes(graph) == ["float32 (N, 4, 3)"] * 2
    assert len({id(node.op) for node in graph.nodes if node.op.kind == "GRU"}) == 1
    assert "fixed at 4" in graph.origin["notes"]


class Masked(nn.Module):
    """Masks by the longest row, which a batch is as long as."""

    def __init__(self, longest: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.lstm = nn.LSTM(3, 2, batch_first=True)
        self.longest = longest

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        mask = torch.arange(self.longest(lengths)).unsqueeze(0) < lengths.unsqueeze(1)
        packed = pack_padded_sequence(x, lengths.cpu(), batch_first=True)
        y, _ = pad_packed_sequence(self.lstm(packed)[0], batch_first=True)
        return (y * mask.unsqueeze(-1)).sum(1) / lengths.unsqueeze(1)


@pytest.mark.parametrize(
    "longest",
    [lambda n: n.max(), lambda n: n.max().item(), lambda n: max(n.tolist())],
    ids=["a tensor", "an item", "of a list"],
)
def test_the_longest_row_is_as_long_as_the_tensor(longest: Callable[[Tensor], Any]) -> None:
    graph = torch_side.read(Masked(longest), (normal(3, 6, 3), torch.tensor([6, 4, 1])))
    assert shapes(graph) == ["float32 (N, T, 3)", "int64 (N)"]


def test_lengths_are_named_where_nothing_else_says_so() -> None:
    def last(m: Any, x: Tensor, ends: Tensor) -> Tensor:
        return x[torch.arange(x.size(0)), ends - 1]

    example = normal(3, 5, 2), torch.tensor([5, 2, 1])
    assert shapes(torch_side.read(Rule(last), example, lengths="inputs_1")) == [
        "float32 (N, T, S)",
        "int64 (N)",
    ]
    with pytest.raises(InputError, match="lengths should be among the inputs inputs_0, inputs_1; found ends"):
        torch_side.read(Rule(last), example, lengths="ends")


class Packed(nn.Module):
    """Its author calls it with a packed sequence; a tensor would do as well, and be something else."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(3, 2, batch_first=True)

    def forward(self, packed_input: Any) -> Tensor:
        return self.gru(packed_input)[1][-1]


def test_a_packed_sequence_is_not_guessed() -> None:
    with pytest.raises(InputError, match="packed_input is a packed sequence; give one"):
        torch_side.read(Packed())
    packed = pack_padded_sequence(normal(3, 5, 3), torch.tensor([5, 2, 4]), True, False)
    assert shapes(torch_side.read(Packed(), packed)) == ["float32 (N, T, 3)", "int64 (N)"]


def test_the_former_name_of_an_example() -> None:
    described = [Value("x", ("N", "T", 3), "float32")]
    with pytest.deprecated_call(match="example="):
        graph = torch_side.read(Rule(lambda m, x: torch.tanh(x)), inputs=described)
    assert graph.inputs == tuple(described)


TRACED = {
    "a branch": lambda m, x: x if x.sum() > 0 else -x,
    "a loop": lambda m, x: [x for _ in range(int(x.abs().sum()))],
    "a choice of elements": lambda m, x: x[x > 0],
}


@pytest.mark.parametrize("what", TRACED)
def test_what_depends_on_values_is_refused_by_its_line(what: str) -> None:
    with pytest.raises(UnsupportedError, match=r"Rule: forward.*(test_torch_read_sizes\.py|self\.rule)"):
        torch_side.read(Rule(TRACED[what]), normal(2, 3))


def test_what_is_computed_at_random_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="rand_like"):
        torch_side.read(Rule(lambda m, x: x + torch.rand_like(x)), normal(2, 3))
    draws = iter(range(99))
    with pytest.raises(UnsupportedError, match="other numbers at every call"):
        torch_side.read(Rule(lambda m, x: x + next(draws)), normal(2, 3))


def test_torch_is_left_as_it_was() -> None:
    watched = (
        *((kind, "forward") for kind in (nn.LSTM, nn.GRU, nn.RNN, nn.MultiheadAttention)),
        *((torch._VF, name) for name in ("lstm", "gru_cell", "dropout")),
        *((Tensor, name) for name in ("numpy", "tolist", "data")),
        *((rnn, name) for name in ("pack_padded_sequence", "pad_packed_sequence")),
        *((builtins, "len"), (math, "sqrt")),
    )

    def state() -> list[Any]:
        codes = [rnn.pack_padded_sequence.__code__, rnn.pack_padded_sequence.__defaults__]
        return [
            *(getattr(owner, name) for owner, name in watched),
            *codes,
            torch.backends.mha.get_fastpath_enabled(),
            torch.get_default_dtype(),
            torch.get_rng_state().sum(),
        ]

    module = nn.LSTM(3, 2, dropout=0.5, num_layers=2)
    before = state()
    torch_side.read(module, normal(4, 2, 3))
    with pytest.raises(UnsupportedError):
        torch_side.read(Rule(TRACED["a branch"]), normal(2, 3))
    assert state() == before
