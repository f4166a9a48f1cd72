"""What does nothing at inference and something in training."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import torch_side
from biport import ops
from testing.torch_graphs import one

NOISE = {
    "GaussianNoise": (ops.GaussianNoise(stddev=0.5), 0.5),
    "GaussianDropout": (ops.GaussianDropout(rate=0.2), 0.5),
    "AlphaDropout": (ops.AlphaDropout(rate=0.2), None),
}


@pytest.mark.parametrize("name", NOISE)
def test_noise_is_for_training(name):
    op, deviation = NOISE[name]
    module = torch_side.write(one(op, 40, False))
    ones = torch.ones(30, 20, 40, dtype=torch.float64)
    torch.manual_seed(0)

    assert torch.equal(module(ones), ones)
    noisy = module.train()(ones)
    assert not torch.equal(noisy, ones)
    if deviation is not None:
        assert abs(float(noisy.mean()) - 1) < 0.02
        assert abs(float(noisy.std()) - deviation) < 0.02
    assert torch_side.read(module)["layer"].op == op


def test_the_penalty_is_kept_for_the_loss():
    module = torch_side.write(one(ops.ActivityRegularization(l1=0.5, l2=2.0), 3, False))
    x = torch.full((1, 2, 3), -2.0, dtype=torch.float64)

    assert torch.equal(module.train()(x), x)
    layer: Any = module.get_submodule("layer")
    assert float(layer.penalty) == 0.5 * 12 + 2.0 * 24
