from __future__ import annotations

import math

import pytest
import torch

from testing.expressions import Expressions, all_refused, read_expressions, some

SOURCES = {
    "arange": lambda m, x, i: torch.arange(x.size(1)) + torch.arange(0, 2 * x.size(1), 2),
    "arange of floats": lambda m, x, i: torch.arange(1, x.size(1) + 1, dtype=torch.float) / x.size(1),
    "arange backwards": lambda m, x, i: torch.arange(x.size(1) - 1, -1, -1)[None, :] * 2,
    "arange of fractions": lambda m, x, i: torch.arange(0.0, 1.0, 0.25) + torch.arange(0.0, 8.0, 2.0),
    "arange by a size": lambda m, x, i: torch.arange(0, 3 * x.size(1), x.size(1)),
    "zeros": lambda m, x, i: torch.zeros(2, x.size(0), 4) + x.new_zeros(x.size(0), 4),
    "ones": lambda m, x, i: torch.ones(x.shape[:2]) + torch.ones_like(x, dtype=torch.bool)[..., 0],
    "full": lambda m, x, i: torch.full((2, x.size(1)), 3) + x.new_full((2, 1), 2.5),
    "full of a size": lambda m, x, i: torch.full((2,), x.size(1)) + torch.full((2,), x.size(1) / 2),
    "full of infinity": lambda m, x, i: torch.full_like(x, -math.inf),
    "nothing": lambda m, x, i: torch.cat([torch.empty(x.size(0), 0), x[:, 0]], 1),
    "eye": lambda m, x, i: torch.eye(x.size(1)) * 2,
    "eye of two sizes": lambda m, x, i: torch.eye(x.size(1), 4) + torch.eye(x.size(1), 4, dtype=torch.long),
    "linspace": lambda m, x, i: torch.linspace(-1, 1, 5) + torch.logspace(0, 1, 5) + torch.hann_window(5),
    "numbers": lambda m, x, i: torch.tensor(2.0) * x + torch.tensor(x.size(1)) + torch.tensor(x.size(1) / 2),
    "indices": lambda m, x, i: torch.tril_indices(3, 3),
    "sizes": lambda m, x, i: torch.tensor([x.size(0), x.size(1)]),
}  # fmt: skip
SIZES = {
    "half": lambda m, x, i: x.new_zeros(x.size(1) // 2) + x.size(1) // 2,
    "upwards": lambda m, x, i: x.new_zeros(-(-x.size(1) // 2)) + math.ceil(x.size(1) / 2),
    "rounded": lambda m, x, i: x.new_zeros(math.ceil(x.size(1) / 4), math.floor(x.size(1) / 2)),
    "sums": lambda m, x, i: x.new_zeros(x.size(1) * 2 - 1, sum(x.shape[:2])),
    "extremes": lambda m, x, i: x.new_zeros(max(x.size(1), 3), min(x.size(1), 4), abs(x.size(1) - 9)),
    "products": lambda m, x, i: x.view(x.size(0) * x.size(1), -1) * x[..., 0].numel(),
    "remainder": lambda m, x, i: x.new_zeros(x.size(1) % 2 + 1) + x.size(1) % 3,
    "powers": lambda m, x, i: x.new_zeros(x.size(1) ** 2) + (x.size(1) << 1),
    "root": lambda m, x, i: x / x.size(1) ** 0.5 * x.size(1) ** -0.25,
    "mean": lambda m, x, i: x.sum(1) / x.size(1) + x.size(1) * (1 / x.size(0)),
    "fractions": lambda m, x, i: x - x.size(1) / (x.size(0) + 1) + 1 / (x.size(1) + 1e-3),
    "negative": lambda m, x, i: x * -x.size(1) + -(x.size(1) / 2),
}  # fmt: skip


def check(table):
    read_expressions(Expressions({"x": lambda m, x, i: x + i} | table), (4, 3), (2, 6))


def test_tensors_and_numbers_made_of_sizes():
    check(some(SOURCES | SIZES, 4))


@pytest.mark.sweep
@pytest.mark.parametrize("table", [SOURCES, SIZES])
def test_all_tensors_and_numbers_made_of_sizes(table):
    check(table)


TRACED_FOR_LARGER_SIZES = {
    "largest": lambda m, x, i: x * max(x.size(1) / 2, 1.0),
    "condition": lambda m, x, i: x[:, : x.size(1) - 1 if x.size(1) > 1 else 1],
}


@pytest.mark.parametrize("name", TRACED_FOR_LARGER_SIZES)
def test_what_torch_traces_for_larger_sizes_alone_is_warned_of(name):
    with pytest.warns(UserWarning, match=f"below what it was traced for .* {name} at N = 1, T = 1"):
        check({name: TRACED_FOR_LARGER_SIZES[name]})


REFUSED = {
    "rand": (lambda m, x, i: x + torch.rand(4), "rand"),
    "randn_like": (lambda m, x, i: x + torch.randn_like(x), "randn_like"),
    "fractions up to a size": (lambda m, x, i: torch.arange(0, x.size(1), 0.5), "a size that varies"),
}


def test_what_is_not_the_same_each_time_is_refused():
    all_refused(REFUSED)
