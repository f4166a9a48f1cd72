"""Dropout in the recurrent layers of torch, in training: what Keras' cells do with the same shares."""

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
from testing.masks import valid_steps
from torch_side.shared.recurrent import KINDS

N, T, I, H = 4, 7, 3, 5

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
    cases: list[tuple[dict[str, Any], Sequence[int]]] = [
        ({"dropout": 0.5}, (N, 1, I)),
        ({"dropout": 0.5, "recurrent_dropout": 0.5}, (N, 4, I)),
    ]
    for rates, shape in cases:
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
