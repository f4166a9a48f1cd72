"""The recurrent layers of `torch_side.layers` by themselves: states, padding, dtypes, ways to compute."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from testing.masks import MASKS, valid_steps
from torch_side import layers
from torch_side.layers import recurrent

N, T, I, H = 4, 7, 3, 5

STOCK: dict[Any, Any] = {layers.MaskedLSTM: nn.LSTM, layers.MaskedGRU: nn.GRU, layers.MaskedRNN: nn.RNN}
LOOPED = (layers.LoopedLSTM, layers.LoopedGRU, layers.LoopedRNN)


def drawn(layer: nn.RNNBase, started: bool, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Any]:
    """A batch, and initial states in the form that the layer takes."""
    x = torch.randn(N, T, I, dtype=torch.float64).to(dtype)
    directions = 2 if layer.bidirectional else 1
    states = [torch.randn(directions, N, H, dtype=torch.float64).to(dtype) for _ in range(2)]
    hx = tuple(states) if isinstance(layer, nn.LSTM) else states[0]
    return x, hx if started else None


def parts(result: Any) -> list[Tensor]:
    output, final = result
    return [output, *final] if isinstance(final, tuple) else [output, final]


def row_by_row(layer: nn.RNNBase, x: Tensor, hx: Any, mask: Tensor) -> list[Tensor]:
    """The valid steps of each row alone, by torch's own layer; zeros, and the initial states, elsewhere."""
    directions = 2 if layer.bidirectional else 1
    kind = next(stock for masked, stock in STOCK.items() if isinstance(layer, masked))
    settings = {"nonlinearity": layer.nonlinearity} if kind is nn.RNN else {}
    stock = kind(I, H, batch_first=True, bidirectional=layer.bidirectional, **settings).to(x.dtype)
    for name, parameter in layer.named_parameters():
        setattr(stock, name, parameter)
    count = 2 if kind is nn.LSTM else 1
    zeros = [torch.zeros(directions, N, H, dtype=x.dtype)] * count
    start = zeros if hx is None else list(hx) if count == 2 else [hx]
    output = torch.zeros(N, T, directions * H, dtype=x.dtype)
    final = [state.clone() for state in start]
    for row in range(N):
        if not mask[row].any():
            continue
        own = [state[:, row : row + 1].contiguous() for state in start]
        y, states = stock(x[row : row + 1, mask[row]], tuple(own) if count == 2 else own[0])
        output[row, mask[row]] = y[0]
        for state, now in zip(final, states if count == 2 else (states,), strict=True):
            state[:, row] = now[:, 0]
    return [output, *final]


def repeated(y: Tensor, mask: Tensor) -> Tensor:
    """The outputs of both directions at each step, or the last ones before it, step by step."""
    forward, backward = (part.clone() for part in y.chunk(2, dim=-1))
    for t in range(1, T):
        forward[:, t] = torch.where(mask[:, t : t + 1], forward[:, t], forward[:, t - 1])
        u = T - 1 - t
        backward[:, u] = torch.where(mask[:, u : u + 1], backward[:, u], backward[:, u + 1])
    return torch.cat([forward, backward], dim=-1)


WAYS = ("packed", "whole rows", "any mask")


def take(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have layers compute in one of the ways, whatever the lengths."""
    monkeypatch.setattr(recurrent, "packs", lambda *given: way == "packed")
    if way == "any mask":
        monkeypatch.setattr(recurrent, "lengths_of", lambda mask: [])


@pytest.mark.parametrize("pattern", MASKS)
@pytest.mark.parametrize("kind", STOCK)
def test_outputs_and_final_states_are_those_of_the_valid_steps_alone(
    kind: Any, pattern: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(1)
    mask = torch.from_numpy(valid_steps(pattern, N, T, np.random.default_rng(2)))
    for bidirectional, started in itertools.product((False, True), (False, True)):
        layer = kind(I, H, bidirectional=bidirectional).double()
        x, hx = drawn(layer, started)
        garbage = x.masked_fill(~mask.unsqueeze(-1), torch.nan)
        with torch.no_grad():
            wanted = row_by_row(layer, x, hx, mask)
            for way in WAYS:
                take(way, monkeypatch)
                given = parts(layer(garbage, hx, mask))
                for one, other in zip(given, wanted, strict=True):
                    torch.testing.assert_close(one, other, rtol=0, atol=1e-13)
                monkeypatch.undo()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", STOCK)
def test_each_direction_repeats_its_own_outputs(kind: Any, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(4)
    take(way, monkeypatch)
    zero = kind(I, H, bidirectional=True).double()
    layer = kind(I, H, bidirectional=True, zero_output_for_mask=False).double()
    layer.load_state_dict(zero.state_dict())
    mask = torch.from_numpy(valid_steps("empty row", N, T, np.random.default_rng(2)))
    x, hx = drawn(layer, True)
    given, wanted = (parts(one(x, hx, mask)) for one in (layer, zero))
    torch.testing.assert_close(given[0], repeated(wanted[0], mask), rtol=0, atol=1e-13)
    torch.testing.assert_close(given[1:], wanted[1:], rtol=0, atol=1e-13)


@pytest.mark.parametrize("pattern", ["holes", "empty row"])
@pytest.mark.parametrize("kind", STOCK)
def test_gradients_are_the_same_in_every_way(
    kind: Any, pattern: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(5)
    layer = kind(I, H, bidirectional=True).double()
    x, hx = drawn(layer, True)
    mask = torch.from_numpy(valid_steps(pattern, N, T, np.random.default_rng(2)))
    states = [*hx] if isinstance(hx, tuple) else [hx]
    wanted_of = [one.requires_grad_() for one in (x, *states, *layer.parameters())]

    def gradients(outputs: list[Tensor]) -> tuple[Tensor, ...]:
        weighted = [(part * torch.arange(part.numel()).view_as(part)).sum() for part in outputs]
        return torch.autograd.grad(torch.stack(weighted).sum(), wanted_of)

    wanted = gradients(row_by_row(layer, x, hx, mask))
    for way in WAYS:
        take(way, monkeypatch)
        for given, right in zip(gradients(parts(layer(x, hx, mask))), wanted, strict=True):
            torch.testing.assert_close(given, right, rtol=1e-10, atol=1e-12)
        monkeypatch.undo()


SHORT, LONG = [20, *[2] * 127], [20, *[19] * 127]


@pytest.mark.parametrize(
    ("kind", "lengths", "trained", "packed"),
    [
        (layers.MaskedGRU, LONG, False, True),
        (layers.MaskedRNN, [20, 19], False, True),
        (layers.MaskedLSTM, LONG, False, False),
        (layers.MaskedLSTM, SHORT, False, True),
        (layers.MaskedLSTM, [20, 2], False, False),
        (layers.MaskedLSTM, LONG, True, False),
        (layers.MaskedLSTM, SHORT, True, True),
        (layers.MaskedGRU, LONG, True, False),
        (layers.MaskedRNN, SHORT, True, True),
    ],
)
def test_rows_are_packed_where_that_is_faster(
    kind: Any, lengths: list[int], trained: bool, packed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = kind(2, 64).requires_grad_(trained)
    name, calls = layer.mode.lower(), []
    original = getattr(torch, name)
    monkeypatch.setattr(torch, name, lambda *given: calls.append(given) or original(*given))
    mask = torch.arange(25) < torch.tensor(lengths).unsqueeze(1)
    layer(torch.zeros(len(lengths), 25, 2), mask=mask)
    ((x, *_),) = calls
    assert list(x.shape[:-1]) == ([sum(lengths)] if packed else [len(lengths), 20])


@pytest.mark.parametrize("kind", STOCK)
def test_rows_of_one_length_are_no_more_than_the_stock_layer(
    kind: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = kind(I, H, bidirectional=True)
    name, calls = layer.mode.lower(), []
    original = getattr(torch, name)
    monkeypatch.setattr(torch, name, lambda *given: calls.append(given) or original(*given))
    mask = torch.zeros(N, T, dtype=torch.bool)
    mask[1, 2:5] = mask[3, 4:] = True
    x, _ = drawn(layer, False, torch.float32)
    for given, shape in ((mask, (2, 3, I)), (None, (N, T, I))):
        layer(x, mask=given)
        ((steps, *_, batch_first),) = calls
        assert batch_first is True
        assert steps.shape == shape
        calls.clear()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", STOCK)
def test_what_is_recorded_does_not_depend_on_the_mask(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(6)
    layer = kind(I, H, bidirectional=True).double()
    x, _ = drawn(layer, False)
    mask = torch.from_numpy(valid_steps("empty row", N, T, np.random.default_rng(2)))
    wanted = parts(layer(x, None, mask))
    full = {"mask": torch.ones_like(mask)}
    lengths_of, lengths = recurrent.lengths_of, []
    monkeypatch.setattr(recurrent, "lengths_of", lambda mask: lengths.append(lengths_of(mask)) or lengths[-1])
    programs = [
        torch.jit.script(layer),
        torch.jit.trace(layer, example_kwarg_inputs={"input": x, **full}, check_trace=False),
        torch.export.export(layer, (x,), full).module(),
    ]
    assert lengths == [[]] * len(lengths)
    assert lengths
    for program in programs:
        torch.testing.assert_close(parts(program(x, mask=mask)), wanted, rtol=0, atol=1e-13)


@pytest.mark.parametrize("kind", [*STOCK, *LOOPED])
def test_nan_in_padding_reaches_no_gradient(kind: Any) -> None:
    torch.manual_seed(2)
    settings: dict[str, Any] = {"activation": nn.Softsign()} if kind in LOOPED else {"bidirectional": True}
    layer = kind(I, H, **settings).double()
    x, hx = drawn(layer, True)
    mask = torch.from_numpy(valid_steps("holes", N, T, np.random.default_rng(2)))
    mask[0] = False
    given = parts(layer(x.masked_fill(~mask.unsqueeze(-1), torch.nan), hx, mask))
    torch.stack([part.sum() for part in given]).sum().backward()
    for name, parameter in layer.named_parameters():
        assert parameter.grad is not None
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("kind", STOCK)
def test_half_precision_on_a_cpu_is_that_of_the_stock_layer(kind: Any, dtype: torch.dtype) -> None:
    torch.manual_seed(3)
    layer = kind(I, H, bidirectional=True).to(dtype)
    x, hx = drawn(layer, True, dtype)
    mask = torch.from_numpy(valid_steps("right", N, T, np.random.default_rng(2)))
    with torch.no_grad():
        for given, wanted in zip(parts(layer(x, hx, mask)), row_by_row(layer, x, hx, mask), strict=True):
            assert given.dtype == dtype
            torch.testing.assert_close(given, wanted, rtol=0, atol=8 * torch.finfo(dtype).eps)


@pytest.mark.parametrize("kind", [*STOCK, *LOOPED])
def test_no_rows_give_no_rows(kind: Any) -> None:
    layer = kind(I, H)
    for given in ({}, {"mask": torch.zeros(0, T, dtype=torch.bool)}):
        output, *final = parts(layer(torch.zeros(0, T, I), **given))
        assert output.shape == (0, T, H)
        assert [state.shape for state in final] == [(1, 0, H)] * len(final)
