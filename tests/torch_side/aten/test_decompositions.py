from __future__ import annotations

import pytest
import torch
from torch.nn import functional

import torch_side
from biport.errors import UnsupportedError
from testing.expressions import Expressions, inputs, read_expressions

TAKEN_APART = {
    "logit": lambda m, x, i: x.sigmoid().logit(1e-3),
    "isclose": lambda m, x, i: torch.isclose(x, x.round()),
    "nan_to_num": lambda m, x, i: (x - 1).sqrt().nan_to_num(0.5),
    "nansum": lambda m, x, i: x.log().nansum(1),
    "xlogy": lambda m, x, i: torch.xlogy(i, x.abs()),
    "mse_loss": lambda m, x, i: functional.mse_loss(x, x.floor()),
    "pairwise_distance": lambda m, x, i: functional.pairwise_distance(x, x.floor()),
}


def test_what_nobody_reads_is_taken_apart():
    read_expressions(Expressions(TAKEN_APART), (4, 3))


def test_what_has_no_parts_is_refused_with_the_line():
    module = Expressions({"largest so far": lambda m, x, i: x.cummax(1)[0]})

    with pytest.raises(UnsupportedError, match=r"rule\(self, x, i\).*cummax.default"):
        torch_side.read(module, tuple(inputs(3, 5, 4)))
