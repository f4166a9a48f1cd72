from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import nn

import torch_side
from biport import ops
from biport.errors import InputError
from biport.graph import Graph, Node, Value
from biport.ops import MERGE_MODES
from testing.torch_graphs import BIASES, MASKS, bidirectional, data, error, lstm, one, plant_order

RULES = [
    {"merge": merge, "return_sequences": sequences}
    for merge, sequences in itertools.product(MERGE_MODES, (False, True))
]
SIZES = [(4, 6, 3, 5), (1, 5, 2, 3), (3, 1, 2, 4), (2, 3, 4, 1), (1, 1, 1, 1)]


@pytest.mark.cover(1)
@pytest.mark.parametrize("pattern", MASKS)
@pytest.mark.parametrize("N, T, I, H", SIZES)
def test_equals_the_oracle_in_float64(N, T, I, H, pattern):
    for rules in RULES:
        graph = one(bidirectional(I, H, **rules), I, pattern != "none")

        assert error(graph, data(N, T, I, pattern)) <= 1e-12, rules


@pytest.mark.parametrize("pattern", ["none", "holes"])
@pytest.mark.parametrize("bias", BIASES)
def test_equals_the_oracle_with_any_number_of_biases(bias, pattern):
    for rules in RULES:
        graph = one(bidirectional(3, 5, bias=bias, **rules), 3, pattern != "none")

        assert error(graph, data(4, 6, 3, pattern)) <= 1e-12, rules
        assert torch_side.read(torch_side.write(graph)) == graph


@pytest.mark.parametrize("pattern", MASKS)
def test_equals_the_oracle_in_float32_up_to_rounding(pattern):
    I, H = 6, 11
    graph = one(bidirectional(I, H, dtype="float32"), I, pattern != "none", "float32")

    difference = error(graph, data(5, 9, I, pattern, "float32"))

    assert difference <= 8 * np.finfo("float32").eps * (I + H) ** 0.5


@pytest.mark.parametrize("pattern", ["none", "holes"])
def test_does_not_drift_over_200_steps(pattern):
    graph = one(bidirectional(3, 5, bias="two"), 3, pattern != "none")

    assert error(graph, data(2, 200, 3, pattern)) <= 1e-12


@pytest.mark.parametrize("masked", [False, True])
def test_no_rows_are_empty_and_no_steps_are_refused(masked):
    for rules in RULES:
        graph = one(bidirectional(2, 3, **rules), 2, masked)

        assert error(graph, [np.zeros((0, 4, 2)), np.zeros((0, 4), bool)][: 1 + masked]) == 0
        for N in (0, 3):
            with pytest.raises(InputError, match=r"'x': .* \(T = 0\); it needs 1 or more"):
                error(graph, [np.zeros((N, 0, 2)), np.zeros((N, 0), bool)][: 1 + masked])


@pytest.mark.parametrize("pattern", MASKS[1:])
def test_a_stack_of_two_equals_the_oracle(pattern):
    for sequences, merge in itertools.product((False, True), ("concat", "mul")):
        x, valid = data(5, 7, 3, pattern)
        one_, two = bidirectional(3, 4), bidirectional(8, 2, seed=7, return_sequences=sequences, merge=merge)
        graph = Graph(
            (Value("x", ("N", "T", 3), "float64"), Value("mask", ("N", "T"), "bool")),
            (Node("one", one_, ("x",), masks=("mask",)), Node("two", two, ("one",), masks=("mask",))),
            ("two",),
        )

        assert error(graph, [x, valid]) <= 1e-12


@pytest.mark.parametrize("fill", [1e3, np.nan])
def test_what_lies_under_the_mask_changes_nothing(fill):
    layer = torch_side.write(one(bidirectional(3, 4), 3, True))
    x, valid = (torch.from_numpy(array) for array in data(6, 8, 3, "empty row"))

    assert torch.equal(layer(x, valid), layer(x.masked_fill(~valid.unsqueeze(-1), fill), valid))


@pytest.mark.parametrize("rules", RULES)
def test_gradients_of_the_masked_path_equal_finite_differences(rules):
    layer = torch_side.write(one(bidirectional(2, 3, bias="two", **rules), 2, True))
    x, valid = (torch.from_numpy(array) for array in data(4, 4, 2, "empty row"))
    parameters = {name: p.detach().clone().requires_grad_() for name, p in layer.named_parameters()}

    def run(x: torch.Tensor, *values: torch.Tensor):
        return torch.func.functional_call(layer, dict(zip(parameters, values, strict=True)), (x, valid))

    assert torch.autograd.gradcheck(run, (x.requires_grad_(), *parameters.values()), fast_mode=True)


def test_exchanged_directions_are_detected():
    op = bidirectional(3, 4)
    settings = op.settings()
    exchanged = ops.Bidirectional(
        forward=ops.LSTM.build(
            {k: v for k, v in settings["forward"].items() if k != "kind"}, op.backward.weights()
        ),
        backward=ops.LSTM.build(
            {k: v for k, v in settings["backward"].items() if k != "kind"}, op.forward.weights()
        ),
    )
    (x,) = data(3, 5, 3, "none")

    mine, yours = (torch_side.run(torch_side.write(one(each, 3, False)), [x])[0] for each in (op, exchanged))

    assert np.abs(mine - yours).max() > 1e-3


def test_a_wrong_gate_order_is_detected(monkeypatch):
    graph = one(bidirectional(3, 4), 3, True)
    plant_order(monkeypatch, "ifoc")

    assert error(graph, data(4, 5, 3, "holes")) > 1e-3


def test_directions_that_one_torch_layer_cannot_compute_are_a_pair():
    op = ops.Bidirectional(
        forward=lstm(3, 4, bias="none", dropout=0.5), backward=lstm(3, 5, reverse=True), merge="concat"
    )
    graph = one(op, 3, False)
    module = torch_side.write(graph)

    assert {name: type(part) for name, part in module.get_submodule("layer").named_children()} == {
        "forward_layer_dropout": nn.Dropout1d,
        "forward_layer": nn.LSTM,
        "backward_layer": nn.LSTM,
    }
    assert error(graph, data(4, 5, 3, "none")) < 1e-12
    assert torch_side.read(module) == graph
