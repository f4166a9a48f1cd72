from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import biport.reference
import torch_side
from biport.errors import UnsupportedError
from biport.graph import Value

RULES: dict[str, Any] = {
    "nearest": lambda x: functional.interpolate(x, scale_factor=(3, 2)),
    "exactly": lambda x: functional.interpolate(x, scale_factor=2, mode="nearest-exact"),
    "to a size": lambda x: functional.interpolate(x, size=(x.shape[2] * 2, x.shape[3] * 3)),
    "between": lambda x: functional.interpolate(x, scale_factor=(2, 3), mode="bilinear"),
    "of steps": lambda x: functional.interpolate(x[:, :, 0], scale_factor=3),
    "pixels of channels": lambda x: functional.pixel_shuffle(x, 2),
    "channels in turn": lambda x: functional.channel_shuffle(x, 2),
}
REFUSED: dict[str, tuple[Any, str]] = {
    "corners": (
        lambda x: functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True),
        "align_corners",
    ),
    "less": (lambda x: functional.interpolate(x, scale_factor=0.5), "scale_factor"),
    "another size": (lambda x: functional.interpolate(x, size=(5, 7)), "size"),
    "cubic": (lambda x: functional.interpolate(x, scale_factor=2, mode="bicubic"), "mode"),
}


class Rules(nn.Module):
    def __init__(self, rules: Any) -> None:
        super().__init__()
        self.rules = list(rules)

    def forward(self, x):
        return [rule(x) for rule in self.rules]


def test_more_elements() -> None:
    module = Rules(RULES.values())

    graph = torch_side.read(module, Value("x", ("N", 4, "H", "W"), "float64"))

    for shape in ((2, 4, 3, 5), (1, 4, 4, 2)):
        x = np.random.default_rng(0).normal(size=shape)
        wanted = module(torch.as_tensor(x))
        for name, one, two in zip(RULES, wanted, biport.reference.run(graph, [x]), strict=True):
            np.testing.assert_allclose(two, one.numpy(), rtol=1e-12, atol=1e-12, err_msg=name)
    sampled = [node.op.kind for node in graph.nodes if node.op.kind.startswith("UpSampling")]
    assert sampled == ["UpSampling2D"] * 4 + ["UpSampling1D"]


def test_fewer_elements_for_more_channels() -> None:
    module = Rules([lambda x: functional.pixel_unshuffle(x, 2)])

    graph = torch_side.read(module, Value("x", ("N", 2, 4, 6), "float64"))

    x = np.random.default_rng(0).normal(size=(3, 2, 4, 6))
    assert np.array_equal(biport.reference.run(graph, [x])[0], module(torch.as_tensor(x))[0].numpy())


def test_what_has_no_op_is_refused() -> None:
    with pytest.raises(UnsupportedError) as caught:
        torch_side.read(Rules(rule for rule, _ in REFUSED.values()), torch.randn(2, 4, 3, 5))

    assert [reason["setting"] for reason in caught.value.reasons()] == [word for _, word in REFUSED.values()]
