from __future__ import annotations

from typing import Any

import pytest
from torch.nn import functional

import torch_side
from biport.errors import UnsupportedError
from testing.expressions import Expressions, inputs, read_expressions, some


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
@pytest.mark.parametrize("table", [MAXIMA, MEANS])
def test_pooling(table: Any, every: int) -> None:
    read_expressions(Expressions(some(table, every)), (4, 3), (1, 8))


@pytest.mark.parametrize("rule", ["of all", "one part"])
def test_pooling_of_all_steps_is_a_layer(rule: str) -> None:
    graph, _ = read_expressions(Expressions({rule: MAXIMA[rule]}), (4, 3))

    assert [node.op.kind for node in graph.nodes] == ["GlobalMaxPooling1D"]
    assert str(graph.inputs[0].shape) == "(N, T, 4)" or graph.inputs[0].shape[1] == "T"


def test_what_has_no_op_is_refused() -> None:
    rules = {
        "positions": lambda m, x, i: functional.max_pool1d(x, 2, return_indices=True)[1],
        "dilated": lambda m, x, i: functional.max_pool1d(x, 2, dilation=2),
        "both axes": lambda m, x, i: functional.avg_pool2d(x.unsqueeze(1), 2),
    }

    with pytest.raises(UnsupportedError) as caught:
        torch_side.read(Expressions(rules), tuple(inputs(3, 5, 4)))

    settings = [reason["setting"] for reason in caught.value.reasons()]
    assert settings == ["return_indices", "dilation", "kernel_size"]
