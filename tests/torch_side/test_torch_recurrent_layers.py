"""The recurrent layers of `torch_side.layers` by themselves: final states, padding, dtypes, dropout."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import pytest
import torch
from torch import Tensor, nn

import torch_side
from biport import ops
from biport.graph import Graph, Node, Value
from testing.graphs import cell
from testing.masks import MASKS, valid_steps
from torch_side import layers
from torch_side.shared.recurrent import KINDS

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
    settings = {"activation": nn.Softsign()} if kind in LOOPED else {"bidirectional": True}
    layer = kind(I, H, **settings).double()
    x, hx = drawn(layer, True)
    mask = torch.from_numpy(valid_steps("holes", N, T, np.random.default_rng(2)))
    mask[0] = False
    sum(
        part.sum() for part in parts(layer(x.masked_fill(~mask.unsqueeze(-1), torch.nan), hx, mask))
    ).backward()
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


# Recurrent dropout.

CELLS = [(ops.LSTM, {}), (ops.GRU, {}), (ops.GRU, {"reset_after": False}), (ops.RNN, {})]


def dropping(kind: Any, settings: dict[str, Any], masked: bool = False, **rates: float) -> Any:
    """A written layer with dropout, in training."""
    rules: dict[str, Any] = {"return_sequences": True, "dtype": "float64", **settings, **rates}
    op = cell(np.random.default_rng(1), kind, I, H, **rules)
    values = (Value("x", ("N", "T", I), "float64"), *[Value("mask", ("N", "T"), "bool")][:masked])
    node = Node("layer", op, ("x",), masks=("mask" if masked else None,))
    return torch_side.write(Graph(values, (node,), ("layer",))).train()


@pytest.mark.parametrize("kind, settings", CELLS)
def test_recurrent_dropout_is_nothing_at_inference_and_keras_in_training(
    kind: Any, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the shares that Keras drops put in, the layer computes what Keras' cell does in training."""
    torch.manual_seed(4)
    rng = np.random.default_rng(5)
    module = dropping(kind, settings, dropout=0.4, recurrent_dropout=0.3)
    op = torch_side.read(module)["layer"].op
    x = rng.normal(size=(N, T, I))
    with torch.no_grad():
        plain = dropping(kind, settings)(torch.from_numpy(x))
        torch.testing.assert_close(module.eval()(torch.from_numpy(x)), plain, rtol=0, atol=1e-14)
    gates = len(KINDS.lookup(kind, "test").order)
    kept = {size: (rng.random((N, gates, size)) < 0.6) / 0.6 for size in (I, H)}
    with monkeypatch.context() as patched, torch.no_grad():
        patched.setattr(
            "torch.nn.functional.dropout", lambda ones, *_, **__: torch.from_numpy(kept[ones.shape[-1]])
        )
        given = module.train()(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(given, by_keras(op, x, kept[I], kept[H]), rtol=0, atol=1e-12)


def by_keras(op: Any, x: np.ndarray, kept_x: np.ndarray, kept_h: np.ndarray) -> np.ndarray:
    """Keras' own cell in training, over the steps, with these shares kept by gates in torch's order."""
    name = {"RNN": "SimpleRNNCell"}.get(op.kind, f"{op.kind}Cell")
    rules: dict[str, Any] = {"reset_after": op.reset_after} if op.kind == "GRU" else {}
    layer: Any = getattr(keras.layers, name)(H, dropout=0.4, recurrent_dropout=0.3, dtype="float64", **rules)
    layer.build((N, I))
    order = {"LSTM": "ifco", "GRU": "zrh", "RNN": "h"}[op.kind]
    biases = np.concatenate([op.bias_ih[gate] for gate in order])
    if op.bias_hh is not None:
        biases = np.stack([biases, np.concatenate([op.bias_hh[gate] for gate in order])])
    layer.set_weights(
        [np.concatenate([part[gate].T for gate in order], 1) for part in (op.weight_ih, op.weight_hh)]
        + [biases]
    )
    own = KINDS.lookup(type(op), "test").order
    masks = [[kept[:, own.index(gate)] for gate in order] for kept in (kept_x, kept_h)]
    if op.kind == "RNN":
        masks = [mask[0] for mask in masks]
    layer._dropout_mask, layer._recurrent_dropout_mask = masks
    states: Any = [np.zeros((N, H)) for _ in op.states]
    steps = []
    for t in range(T):
        y, states = layer(x[:, t], states, training=True)
        steps.append(np.asarray(y))
    return np.stack(steps, 1)


@pytest.mark.parametrize("kind, settings", CELLS)
def test_what_is_dropped_is_the_same_at_every_step_and_right_on_average(
    kind: Any, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(6)
    module = dropping(kind, settings, recurrent_dropout=0.25)
    drawn_shares: list[Tensor] = []
    drop = nn.functional.dropout

    def noted(*given: Any, **keywords: Any) -> Tensor:
        drawn_shares.append(drop(*given, **keywords))
        return drawn_shares[-1]

    monkeypatch.setattr("torch.nn.functional.dropout", noted)
    rows = 4000
    module(torch.zeros(rows, T, I, dtype=torch.float64))
    (shares,) = drawn_shares
    assert shares.shape == (rows, len(KINDS.lookup(kind, "test").order), H)
    assert {*shares.unique().tolist()} == {0.0, 1 / 0.75}
    assert abs(float(shares.mean()) - 1) < 0.01
    torch.testing.assert_close(shares.mean(0), torch.ones_like(shares[0]), rtol=0, atol=0.06)


def test_without_recurrent_dropout_all_gates_lose_the_same_inputs(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Sequence[int]] = []
    drop = nn.functional.dropout

    def noted(x: Tensor, *given: Any, **keywords: Any) -> Tensor:
        seen.append(x.shape)
        return drop(x, *given, **keywords)

    monkeypatch.setattr("torch.nn.functional.dropout", noted)
    for rates, shape in (
        ({"dropout": 0.5}, (N, 1, I)),
        ({"dropout": 0.5, "recurrent_dropout": 0.5}, (N, 4, I)),
    ):
        dropping(ops.LSTM, {"activation": "relu"}, **rates)(torch.ones(N, T, I, dtype=torch.float64))
        assert shape in seen
    assert all(shape[1] in (1, 4) for shape in seen)


@pytest.mark.parametrize("kind, settings", CELLS)
def test_masked_steps_are_skipped_in_training_too(kind: Any, settings: dict[str, Any]) -> None:
    module = dropping(kind, settings, masked=True, dropout=0.5, recurrent_dropout=0.5)
    mask = torch.from_numpy(valid_steps("holes", N, T, np.random.default_rng(2)))
    x = torch.randn(N, T, I, dtype=torch.float64)
    outputs = []
    for filler in (0.0, 9.0):
        torch.manual_seed(7)
        outputs.append(module(x.masked_fill(~mask.unsqueeze(-1), filler), mask))
    assert torch.equal(*outputs)
    repeated = ~mask[:, 1:] & (mask.cumsum(1) > 0)[:, 1:]
    torch.testing.assert_close(outputs[0][:, 1:][repeated], outputs[0][:, :-1][repeated], rtol=0, atol=0)
