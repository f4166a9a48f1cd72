"""The recurrent layers of `torch_side.layers` by themselves: final states, padding, dtypes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from testing.masks import MASKS, valid_steps
from torch_side import layers

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
    """The valid steps of each row alone, by torch's own kernel; zeros, and the initial states, elsewhere."""
    directions = 2 if layer.bidirectional else 1
    kind = next(stock for masked, stock in STOCK.items() if isinstance(layer, masked))
    settings = {"nonlinearity": layer.nonlinearity} if kind is nn.RNN else {}
    stock = kind(I, H, batch_first=True, bidirectional=layer.bidirectional, **settings).to(x.dtype)
    stock.load_state_dict(layer.state_dict())
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


@pytest.mark.parametrize("pattern", MASKS)
@pytest.mark.parametrize("kind", STOCK)
def test_outputs_and_final_states_are_those_of_the_valid_steps_alone(kind: Any, pattern: str) -> None:
    torch.manual_seed(1)
    mask = torch.from_numpy(valid_steps(pattern, N, T, np.random.default_rng(2)))
    for bidirectional in (False, True):
        layer = kind(I, H, bidirectional=bidirectional).double()
        for started in (False, True):
            x, hx = drawn(layer, started)
            garbage = x.masked_fill(~mask.unsqueeze(-1), torch.nan)
            with torch.no_grad():
                wanted = row_by_row(layer, x, hx, mask)
                given = parts(layer(garbage, hx, mask))
            for one, other in zip(given, wanted, strict=True):
                torch.testing.assert_close(one, other, rtol=0, atol=1e-13)


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
