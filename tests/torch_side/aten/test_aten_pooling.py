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
from testing.expressions import Expressions, inputs, joined, read_expressions, some


def over(function: Any, *args: Any, **settings: Any) -> Any:
    return lambda m, x, i: function(x.transpose(1, 2), *args, **settings)


MAXIMA = {
    "windows": over(functional.max_pool1d, 2),
    "rounded up": over(functional.max_pool1d, 3, 2, ceil_mode=True),
    "padded": over(functional.max_pool1d, 3, 2, 1),
    "padded and rounded up": over(functional.max_pool1d, 3, 2, 1, ceil_mode=True),
    "step by step": over(functional.max_pool1d, 2, stride=1),
    "positions left": lambda m, x, i: functional.max_pool1d(x.transpose(1, 2), 2, return_indices=True)[0],
    "of all": lambda m, x, i: functional.max_pool1d(x.transpose(1, 2), x.size(1)).squeeze(2),
    "parts": lambda m, x, i: functional.adaptive_max_pool1d(x.transpose(1, 2), 3),
    "one part": lambda m, x, i: functional.adaptive_max_pool1d(x.transpose(1, 2), 1).squeeze(-1),
    "of two axes": lambda m, x, i: functional.max_pool2d(x.unsqueeze(1), (2, 1)),
    "of features": lambda m, x, i: functional.max_pool2d(x.unsqueeze(1), (1, 2), padding=(0, 1)),
}
MEANS = {
    "windows": over(functional.avg_pool1d, 2),
    "padded": over(functional.avg_pool1d, 3, 2, 1),
    "padding not counted": over(functional.avg_pool1d, 3, 2, 1, count_include_pad=False),
    "rounded up": over(functional.avg_pool1d, 3, 2, ceil_mode=True),
    "padded and rounded up": over(functional.avg_pool1d, 3, 2, 1, ceil_mode=True),
    "all of it": over(functional.avg_pool1d, 3, 2, 1, ceil_mode=True, count_include_pad=False),
    "of all": lambda m, x, i: functional.avg_pool1d(x.transpose(1, 2), kernel_size=x.shape[1]),
    "parts": over(functional.adaptive_avg_pool1d, 3),
    "one part": lambda m, x, i: functional.adaptive_avg_pool1d(x.transpose(1, 2), 1).flatten(1),
    "of two axes": lambda m, x, i: functional.avg_pool2d(x.unsqueeze(1), (2, 1)),
    "of both axes": lambda m, x, i: functional.adaptive_avg_pool2d(x.unsqueeze(1), (1, 1)),
}


@pytest.mark.parametrize("every", (2, pytest.param(1, marks=pytest.mark.sweep)))
def test_pooling(every: int) -> None:
    read_expressions(Expressions(some(joined(MAXIMA, MEANS), every)), (4, 3), (1, 8))


@pytest.mark.parametrize("rule", ["of all", "one part"])
def test_pooling_of_all_steps_is_a_layer(rule: str) -> None:
    graph, _ = read_expressions(Expressions({rule: MAXIMA[rule]}), (4, 3))

    assert [node.op.kind for node in graph.nodes] == ["GlobalMaxPooling1D"]
    assert str(graph.inputs[0].shape) == "(N, T, 4)" or graph.inputs[0].shape[1] == "T"


def test_what_has_no_op_is_refused() -> None:
    rules = {
        "positions": lambda m, x, i: functional.max_pool1d(x, 2, return_indices=True)[1],
        "dilated": lambda m, x, i: functional.max_pool1d(x, 2, dilation=2),
    }

    with pytest.raises(UnsupportedError) as caught:
        torch_side.read(Expressions(rules), tuple(inputs(3, 5, 4)))

    settings = [reason["setting"] for reason in caught.value.reasons()]
    assert settings == ["return_indices", "dilation"]


def of(function: Any, *args: Any, **settings: Any) -> Any:
    return lambda x: function(x, *args, **settings)


PLANES = {
    "windows": of(functional.max_pool2d, 2),
    "one axis": of(functional.max_pool2d, (2, 1)),
    "of crnn": of(functional.max_pool2d, (2, 2), (2, 1), (0, 1)),
    "padded": of(functional.max_pool2d, 3, 2, 1),
    "rounded up": of(functional.max_pool2d, 2, 2, ceil_mode=True),
    "padded and rounded up": of(functional.max_pool2d, 3, (2, 3), (1, 0), ceil_mode=True),
    "mean": of(functional.avg_pool2d, (2, 3)),
    "padding counted": of(functional.avg_pool2d, 3, 2, 1),
    "not counted": of(functional.avg_pool2d, 3, 2, 1, count_include_pad=False),
    "mean rounded up": of(functional.avg_pool2d, 2, 2, ceil_mode=True),
    "all of it": of(functional.avg_pool2d, 3, 2, 1, ceil_mode=True),
    "none counted": of(functional.avg_pool2d, (3, 2), 3, 1, ceil_mode=True, count_include_pad=False),
    "divided": of(functional.avg_pool2d, 3, 2, 1, ceil_mode=True, divisor_override=5),
    "one part": of(functional.adaptive_avg_pool2d, 1),
    "one row": of(functional.adaptive_avg_pool2d, (1, None)),
    "one column": of(functional.adaptive_max_pool2d, (None, 1)),
    "parts": of(functional.adaptive_avg_pool2d, (3, 2)),
    "largest of parts": of(functional.adaptive_max_pool2d, (2, 3)),
}


class Planes(nn.Module):
    """Each of the rules over two axes, of a size that varies or not."""

    def __init__(self, rules: Any) -> None:
        super().__init__()
        self.rules = list(rules)

    def forward(self, x):
        return [rule(x) for rule in self.rules]


@pytest.mark.parametrize("fixed", [False, pytest.param(True, marks=pytest.mark.sweep)])
def test_over_two_axes(fixed: bool) -> None:
    module, shape = Planes(PLANES.values()), ("N", 2, 6, 8) if fixed else ("N", 2, "T", "S")

    graph = torch_side.read(module, Value("x", shape, "float64"))

    rng = np.random.default_rng(0)
    for n, height, width in ((3, 6, 8),) if fixed else ((2, 6, 8), (1, 7, 5), (3, 5, 6)):
        x = rng.normal(size=(n, 2, height, width))
        wanted = module(torch.as_tensor(x))
        for name, one, two in zip(PLANES, wanted, biport.reference.run(graph, [x]), strict=True):
            np.testing.assert_allclose(two, one.numpy(), rtol=1e-6, atol=1e-9, err_msg=name)


def test_equal_parts_are_windows() -> None:
    module = Planes([PLANES["parts"]])

    graph = torch_side.read(module, Value("x", ("N", 2, 6, 8), "float64"))

    (pool,) = [node.op for node in graph.nodes if node.op.kind == "AveragePooling2D"]
    assert pool.settings()["pool_size"] == (2, 4)


@pytest.mark.sweep
def test_over_three_axes() -> None:
    rules = [
        of(functional.max_pool3d, (1, 2, 2), (1, 2, 1), (0, 1, 1)),
        of(functional.avg_pool3d, 2, 1, 1, count_include_pad=False),
        of(functional.adaptive_avg_pool3d, (2, 1, None)),
    ]

    module = Planes(rules)
    graph = torch_side.read(module, torch.randn(2, 3, 4, 5, 6, dtype=torch.float64))

    x = np.random.default_rng(0).normal(size=(1, 3, 5, 4, 4))
    for one, two in zip(module(torch.as_tensor(x)), biport.reference.run(graph, [x]), strict=True):
        np.testing.assert_allclose(two, one.numpy(), rtol=1e-9, atol=1e-9)
