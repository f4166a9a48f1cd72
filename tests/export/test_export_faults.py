"""The comparison these tests rest on must find faults that are really there."""

from __future__ import annotations

import numpy as np
import pytest

from biport import ops
from export.onnx.step_layout import StepLayout
from testing.onnx_graphs import (
    MASKS,
    H,
    I,
    bidirectional,
    chain,
    exported,
    lstm,
    padded_ids,
    tolerance,
    worst,
)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def different(graph, folder, rng) -> dict[str, bool]:
    session = exported(graph, folder)
    return {kind: worst(graph, session, padded_ids(rng, kind)) > tolerance(graph) for kind in MASKS}


@pytest.mark.parametrize("order", ["ifoc", "iocf", "oifc", "cofi", "iofc"])
def test_a_wrong_gate_order(order, rng, tmp_path, monkeypatch):
    monkeypatch.setattr("export.onnx.fused_node.ORDERS", {ops.LSTM: order})
    verdicts = different(chain(rng, bidirectional(rng, I, H, sequences=True)), tmp_path, rng)
    assert verdicts["full"] == (order != "iofc")


def test_swapped_biases_of_two_directions(rng, tmp_path, monkeypatch):
    from export.onnx import fused_node

    real = fused_node._both_biases
    monkeypatch.setattr(fused_node, "_both_biases", lambda cell, order: real(cell, order)[::-1].copy())
    assert different(chain(rng, bidirectional(rng, I, H, sequences=True)), tmp_path, rng)["full"]


def test_a_mask_taken_for_right_padding(rng, tmp_path, monkeypatch):
    class Identity:
        def __get__(self, layout, owner):
            return layout.scope("Add", layout.scope("Mul", layout._valid, [0]), layout._time)

    monkeypatch.setattr(StepLayout, "_dest", Identity())
    verdicts = different(chain(rng, bidirectional(rng, I, H, sequences=True)), tmp_path, rng)
    assert verdicts == {
        "full": False,
        "right": False,
        "left": True,
        "holes": True,
        "empty row": True,
        "all padding": False,
    }


def test_a_mask_left_out(rng, tmp_path, monkeypatch):
    monkeypatch.setattr(StepLayout, "lengths", None)
    verdicts = different(chain(rng, lstm(rng, I, H)), tmp_path, rng)
    # Of rows without a valid step nothing is read.
    assert verdicts == {kind: kind not in ("full", "all padding") for kind in MASKS}


def test_the_zero_rule_for_the_carry_rule(rng, tmp_path, monkeypatch):
    real = StepLayout._step
    monkeypatch.setattr(StepLayout, "_step", lambda self, carry, reverse: real(self, False, reverse))
    verdicts = different(chain(rng, lstm(rng, I, H, return_sequences=True)), tmp_path, rng)
    assert verdicts["right"]
    assert not verdicts["full"]
