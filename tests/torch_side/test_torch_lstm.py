from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch

import biport.reference
import torch_side
from biport.errors import InputError
from testing.torch_graphs import BIASES, MASKS, data, error, lstm, one, plant_order
from torch_side import layers
from torch_side.layers.errors import LayerInputError

SIZES = [(4, 6, 3, 5), (1, 5, 2, 3), (3, 1, 2, 4), (5, 7, 1, 2), (2, 3, 4, 1), (1, 1, 1, 1)]
RULES: list[dict[str, Any]] = [
    {"reverse": reverse, "return_sequences": sequences, "zero_output_for_mask": zero}
    for reverse, sequences, zero in itertools.product((False, True), repeat=3)
]


@pytest.mark.cover(1)
@pytest.mark.parametrize("pattern", MASKS)
@pytest.mark.parametrize("N, T, I, H", SIZES)
def test_equals_the_oracle_in_float64(N, T, I, H, pattern):
    for rules in RULES:
        graph = one(lstm(I, H, **rules), I, pattern != "none")

        assert error(graph, data(N, T, I, pattern)) <= 1e-12, rules


@pytest.mark.parametrize("pattern", ["none", "holes"])
@pytest.mark.parametrize("bias", BIASES)
def test_equals_the_oracle_with_any_number_of_biases(bias, pattern):
    for rules in RULES:
        graph = one(lstm(3, 5, bias=bias, **rules), 3, pattern != "none")

        assert error(graph, data(4, 6, 3, pattern)) <= 1e-12, rules


@pytest.mark.parametrize("pattern", MASKS)
def test_equals_the_oracle_in_float32_up_to_rounding(pattern):
    I, H = 6, 11
    for rules in RULES:
        graph = one(lstm(I, H, dtype="float32", **rules), I, pattern != "none", "float32")

        difference = error(graph, data(5, 9, I, pattern, "float32"))

        assert difference <= 8 * np.finfo("float32").eps * (I + H) ** 0.5


@pytest.mark.parametrize("pattern", ["none", "holes"])
def test_does_not_drift_over_200_steps(pattern):
    graph = one(lstm(3, 5, bias="two", return_sequences=True), 3, pattern != "none")

    assert error(graph, data(2, 200, 3, pattern)) <= 1e-12


@pytest.mark.parametrize("masked", [False, True])
def test_no_rows_are_empty_and_no_steps_are_refused(masked):
    for rules in RULES:
        graph = one(lstm(2, 3, **rules), 2, masked)

        assert error(graph, [np.zeros((0, 4, 2)), np.zeros((0, 4), bool)][: 1 + masked]) == 0
        for N in (0, 3):
            with pytest.raises(InputError, match=r"'x': .* \(T = 0\); it needs 1 or more"):
                error(graph, [np.zeros((N, 0, 2)), np.zeros((N, 0), bool)][: 1 + masked])


@pytest.mark.parametrize("fill", [1e3, np.nan, np.inf])
def test_what_lies_under_the_mask_changes_nothing(fill):
    layer = torch_side.write(one(lstm(3, 4, return_sequences=True), 3, True))
    x, valid = (torch.from_numpy(array) for array in data(6, 8, 3, "empty row"))
    other = x.masked_fill(~valid.unsqueeze(-1), fill)

    assert torch.equal(layer(x, valid), layer(other, valid))


def test_not_even_its_nan_reaches_the_gradients():
    layer = torch_side.write(one(lstm(3, 4), 3, True))
    x, valid = (torch.from_numpy(array) for array in data(6, 8, 3, "empty row"))

    layer(x.masked_fill(~valid.unsqueeze(-1), np.nan), valid).sum().backward()

    trained = [p for p in layer.parameters() if p.requires_grad]
    assert len(trained) == 3
    assert all(p.grad is not None and p.grad.isfinite().all() for p in trained)


@pytest.mark.parametrize("rules", RULES)
def test_gradients_of_the_masked_path_equal_finite_differences(rules):
    layer = torch_side.write(one(lstm(2, 3, bias="two", **rules), 2, True))
    x, valid = (torch.from_numpy(array) for array in data(4, 4, 2, "empty row"))
    parameters = {name: p.detach().clone().requires_grad_() for name, p in layer.named_parameters()}

    def run(x: torch.Tensor, *values: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(layer, dict(zip(parameters, values, strict=True)), (x, valid))

    assert torch.autograd.gradcheck(run, (x.requires_grad_(), *parameters.values()), fast_mode=True)


def test_gradients_under_a_full_mask_equal_those_without_a_mask():
    op = lstm(3, 4, return_sequences=True)
    masked, plain = torch_side.write(one(op, 3, True)), torch_side.write(one(op, 3, False))
    x, valid = (torch.from_numpy(array) for array in data(3, 5, 3, "full"))

    masked(x, valid).square().sum().backward()
    plain(x).square().sum().backward()

    for mine, yours in zip(masked.parameters(), plain.parameters(), strict=True):
        assert mine.requires_grad == yours.requires_grad == (mine.grad is not None)
        torch.testing.assert_close(mine.grad, yours.grad, rtol=0, atol=1e-12)


def test_a_short_row_computes_what_it_computes_alone():
    layer = torch_side.write(one(lstm(3, 4), 3, True))
    x, valid = (torch.from_numpy(array) for array in data(4, 6, 3, "right"))

    together = layer(x, valid)

    for row in range(4):
        n = int(valid[row].sum())
        alone = layer(x[row : row + 1, :n], valid[row : row + 1, :n])
        torch.testing.assert_close(together[row : row + 1], alone, rtol=0, atol=1e-13)


@pytest.mark.parametrize("order", ["icfo", "fico", "ifoc", "ofci"])
def test_a_wrong_gate_order_is_detected(order, monkeypatch):
    graph = one(lstm(3, 4), 3, False)
    plant_order(monkeypatch, order)

    assert error(graph, data(3, 5, 3, "none")) > 1e-3


@pytest.mark.parametrize("pattern", ["right", "left", "holes", "empty row"])
def test_a_mask_that_is_not_used_is_detected(pattern, monkeypatch):
    graph = one(lstm(3, 4), 3, True)
    skip = layers.MaskedLSTM.skip_masked
    monkeypatch.setattr(layers.MaskedLSTM, "skip_masked", lambda layer, x, hx, mask: skip(layer, x, hx, None))

    assert error(graph, data(5, 6, 3, pattern)) > 1e-3


@pytest.mark.parametrize("pattern", ["left", "holes"])
def test_lengths_instead_of_positions_are_detected(pattern):
    graph = one(lstm(3, 4), 3, True)
    x, valid = data(5, 6, 3, pattern)
    assumed = np.arange(6) < valid.sum(axis=1)[:, None]

    outputs = torch_side.run(torch_side.write(graph), [x, assumed])

    assert np.abs(outputs[0] - biport.reference.run(graph, [x, valid])[0]).max() > 1e-3


@pytest.mark.parametrize(
    "wrong", [torch.ones(2, 3), torch.ones(2, 3, dtype=torch.int64), torch.ones(2, 4, dtype=torch.bool)]
)
def test_a_mask_of_another_kind_is_refused(wrong):
    for layer in (layers.MaskedLSTM(2, 4), layers.LoopedLSTM(2, 4)):
        with pytest.raises(LayerInputError, match=r"torch.bool \[2, 3\], found torch.\w+ \[2, \d\]"):
            layer(torch.zeros(2, 3, 2), mask=wrong)


@pytest.mark.parametrize("masked", [False, True])
def test_dropout_in_training_drops_the_same_features_at_every_step(masked):
    torch.manual_seed(0)
    module = torch_side.write(one(lstm(50, 3, dropout=0.5, return_sequences=True), 50, masked)).train()
    seen = []
    module.get_submodule("layer").register_forward_pre_hook(lambda module, args: seen.append(args[0]))

    module(*[torch.ones(4, 6, 50, dtype=torch.float64), torch.ones(4, 6, dtype=torch.bool)][: 1 + masked])

    (x,) = seen
    assert torch.equal(x, x[:, :1].expand_as(x))
    assert set(x.unique().tolist()) == {0.0, 2.0}


@pytest.mark.parametrize("bias", BIASES)
def test_the_second_bias_is_read_back_only_where_it_says_something(bias):
    op = lstm(3, 4, bias=bias)

    module = torch_side.write(one(op, 3, False))

    assert ("layer.bias_hh_l0" in module.state_dict()) == (bias != "none")
    assert torch_side.read(module)["layer"].op == op
