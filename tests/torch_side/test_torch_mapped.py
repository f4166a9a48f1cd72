"""Modules read as a function says, where torch.export takes no such code or would dissolve it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import torch_side
from biport import ops
from biport.errors import BiportError, GraphError, InputError, UnsupportedError
from biport.graph import frozen
from torch_side.mapped import CLASSES


class RowPool(nn.Module):
    """Attention over the first steps of each row, in a loop that depends on numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Linear(3, 5)
        self.score = nn.Parameter(torch.randn(5))
        self.offset: Tensor
        self.register_buffer("offset", torch.tensor(0.25))

    def forward(self, x: Tensor, lengths: Tensor, scale: float = 1.0) -> tuple[Tensor, dict[str, Tensor]]:
        pooled = []
        for row, length in zip(x, lengths.tolist(), strict=True):
            scores = torch.tanh(self.hidden(row[:length])) @ self.score + self.offset
            pooled.append(torch.softmax(scores, dim=0) @ row[:length] * scale)
        return torch.stack(pooled), {"doubled": x * 2}


class Classifier(nn.Module):
    """The module twice, so that its weights are shared."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.lstm = nn.LSTM(4, 3, batch_first=True)
        self.pool = RowPool()
        self.out = nn.Linear(3, 2)
        self.pool.hidden.bias.requires_grad_(False)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        y, _ = self.lstm(x)
        one, more = self.pool(y, lengths)
        two, _ = self.pool(more["doubled"], lengths, scale=0.5)
        return self.out(one + two)


def row_pool(module: torch_side.MappedModule) -> Any:
    x, lengths = module.inputs
    score, offset = module.weights("score", "offset")
    rows, steps, _ = x.shape
    module.same_size(rows, lengths.shape[0])
    positions = module.apply(ops.Arange(stop=steps, output_dtype=lengths.dtype))
    valid = module.function("less", positions, lengths[:, None])
    scores = module.linear("hidden", x, "tanh") @ score + offset
    weights = module.softmax(module.where(valid, scores, -1e9), axis=1, name="weights")
    pooled = (weights[..., None] * x).sum(axis=1)
    return pooled * module.options.get("scale", 1.0), {"doubled": x * 2}


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """What a test says is forgotten."""
    before = dict(CLASSES)
    yield
    CLASSES.clear()
    CLASSES.update(before)


EXAMPLE = torch.randn(3, 7, 4, generator=torch.Generator().manual_seed(0)), torch.tensor([7, 2, 5])


@pytest.mark.parametrize(
    "kind",
    [RowPool, *(pytest.param(name, marks=pytest.mark.sweep) for name in (f"{__name__}.RowPool", "RowPool"))],
)
def test_a_module_that_cannot_be_traced_is_read_as_a_function_says(kind: Any) -> None:
    torch_side.reads_class(kind)(row_pool)
    graph = torch_side.read(Classifier(), EXAMPLE)
    assert [str(dim) for dim in graph.inputs[0].shape] == ["N", "T", "4"]
    names = {node.name: node.op for node in graph.nodes}
    assert names["pool.hidden"] is names["pool.hidden_1"]
    assert names["pool.score"] is names["pool.score_1"]
    assert {"pool.weights", "pool.weights_1"} <= names.keys()
    assert frozen(graph) == {"pool.hidden.bias"}
    written = torch_side.write(graph)
    data = torch.randn(2, 5, 4), torch.tensor([5, 3])
    wanted = Classifier().eval()(*data)
    torch.testing.assert_close(written(*data), wanted, rtol=1e-5, atol=1e-6)


def read_with(function: Any) -> Any:
    torch_side.reads_class(RowPool)(function)
    return torch_side.read(Classifier(), EXAMPLE)


def fails(module: Any) -> Any:
    raise KeyError("scale")


WRONG: dict[str, tuple[Any, type[BiportError], str]] = {
    "fails": (
        fails,
        InputError,
        r"pool \(RowPool\): fails \(test_torch_mapped.py, line \d+\).*KeyError: 'scale'",
    ),
    "no such tensor": (lambda module: module.weights("scores"), InputError, r"no tensor 'scores', only \["),
    "no linear": (lambda module: module.linear("score", module.inputs[0]), UnsupportedError, "nn.Linear"),
    "nothing": (lambda module: None, GraphError, "symbolic values; found None"),
    "other numbers": (
        lambda module: (row_pool(module)[0] * 1.25, {"doubled": module.inputs[0] * 2}),
        UnsupportedError,
        "off by",
    ),
}


@pytest.mark.parametrize(
    "case", [pytest.param(case, marks=[pytest.mark.sweep] * (case == "other numbers")) for case in WRONG]
)
def test_what_is_wrong_with_a_reader_is_told(case: str) -> None:
    function, kind, words = WRONG[case]
    with pytest.raises(kind, match=words):
        read_with(function)


@pytest.mark.sweep
def test_without_a_function_it_is_refused_with_what_to_do() -> None:
    with pytest.raises(UnsupportedError, match=r"what torch\.export can trace.*torch_side\.reads_class"):
        torch_side.read(Classifier(), EXAMPLE)


@pytest.mark.sweep
def test_a_size_that_numbers_decide_is_refused_by_name() -> None:
    class Cut(nn.Module):
        def forward(self, x: Tensor, length: Tensor) -> Tensor:
            return x[:, : length.item()] * 2

    with pytest.raises(UnsupportedError, match="Cut"):
        torch_side.read(Cut(), (torch.randn(2, 5), torch.tensor(3)))
