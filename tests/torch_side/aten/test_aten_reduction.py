from __future__ import annotations

import pytest
import torch
from torch.nn import functional

import torch_side
from biport import ops
from biport.errors import UnsupportedError
from testing.expressions import SAMPLE_AND_ALL, Expressions, inputs, joined, read_expressions, some

SUMS = {
    "sum": lambda m, x, i: x.sum(),
    "over time": lambda m, x, i: x.sum(1),
    "over several": lambda m, x, i: x.sum((-1, 1), keepdim=True),
    "over rows": lambda m, x, i: x.sum(0),
    "of booleans": lambda m, x, i: (x > 0).sum(1),
    "of int32": lambda m, x, i: i.int().sum(1),
    "of ints in floats": lambda m, x, i: i.sum(1, dtype=torch.float32),
    "mean": lambda m, x, i: x.mean(),
    "mean over time": lambda m, x, i: x.mean(1, keepdim=True),
    "mean of ints": lambda m, x, i: i.mean(-1, dtype=torch.float32),
    "product": lambda m, x, i: x.prod(2) + i.prod(2),
    "logsumexp": lambda m, x, i: x.logsumexp(1) + x.logsumexp((1, 2)).unsqueeze(-1),
    "running": lambda m, x, i: x.cumsum(1) + i.cumsum(-1) + (x > 0).cumsum(0),
    "count": lambda m, x, i: (x > 0).count_nonzero(1) + i.count_nonzero(),
    "of valid steps": lambda m, x, i: (x * (i > 0).float()).sum(1) / (i > 0).sum(1).clamp(min=1),
    "squares": lambda m, x, i: x.square().mean(1).sqrt(),
}
MOMENTS = {
    "std": lambda m, x, i: x.std(),
    "std of all": lambda m, x, i: x.std(1, False),
    "var": lambda m, x, i: x.var((1, 2), correction=2),
    "var by a flag": lambda m, x, i: x.var(-1, unbiased=False, keepdim=True),
    "std and mean": lambda m, x, i: torch.std_mean(x, 1)[0] - torch.std_mean(x, 1)[1],
    "var and mean": lambda m, x, i: torch.var_mean(x)[0] + torch.var_mean(x, [1, 2], correction=0)[1],
    "norm": lambda m, x, i: x.norm() + x.norm(dim=1),
    "norm of order 1": lambda m, x, i: x.norm(p=1, dim=1),
    "largest": lambda m, x, i: torch.linalg.vector_norm(x, ord=float("inf"), dim=1),
    "norm of order 3": lambda m, x, i: x.norm(p=3, dim=1) + x.norm(p=0, dim=1) + x.norm(p=-torch.inf, dim=1),
    "distance": lambda m, x, i: torch.dist(x, i),
    "norm of vectors": lambda m, x, i: torch.linalg.norm(x, dim=-1, keepdim=True),
    "normalize": lambda m, x, i: functional.normalize(x, dim=-1) + functional.normalize(x, p=1, dim=1),
    "by hand": lambda m, x, i: (x - x.mean(-1, True)) / (x.var(-1, keepdim=True) + 1e-5).sqrt(),
}
EXTREMES = {
    "amax": lambda m, x, i: x.amax(-1, True),
    "amin": lambda m, x, i: x.amin((1, 2)),
    "max": lambda m, x, i: x.max() - x.min() + i.max(),
    "of booleans": lambda m, x, i: (x > 0).amax(1) ^ (x > 0).min(),
    "max[0]": lambda m, x, i: x.max(2)[0],
    "max[1]": lambda m, x, i: i.max(2, keepdim=True)[1],
    "both": lambda m, x, i: x.min(1).values + x.min(1).indices,
    "argmax": lambda m, x, i: i.argmax(1),
    "argmin of all": lambda m, x, i: x.argmin() + i.argmin(keepdim=True),
    "argmin": lambda m, x, i: i.argmin(-1, keepdim=True),
    "aminmax": lambda m, x, i: x.aminmax(dim=1)[0] + x.aminmax()[1],
    "any": lambda m, x, i: (x > 0).any() ^ (x > 0).any(1, keepdim=True) ^ x.any(1, keepdim=True),
    "all": lambda m, x, i: (x > 0).all(1) ^ (i > -9).all(),
    "any of NaN": lambda m, x, i: (x - 9).log().amax(1),
}
LAYERS = {
    "GlobalAveragePooling1D": lambda m, x, i: x.mean(1),
    "GlobalMaxPooling1D": lambda m, x, i: x.max(dim=1).values,
    "FeaturesNotEqual": lambda m, x, i: (x != 0).any(-1),
    "Reduction": lambda m, x, i: (i != 0).any(-1),
}


@pytest.mark.filterwarnings("ignore:.*degrees of freedom")
@pytest.mark.parametrize("every", SAMPLE_AND_ALL)
def test_reductions(every):
    read_expressions(Expressions(some(joined(SUMS, MOMENTS, EXTREMES), every)), (4, 3), (1, 1))


def test_layers_are_preferred():
    _, nodes = read_expressions(Expressions(LAYERS), (4, 3))

    assert {name: node.op.kind for name, node in nodes.items()} == {name: name for name in LAYERS}
    assert nodes["FeaturesNotEqual"].op == ops.FeaturesNotEqual(value=0.0)


def test_what_has_no_op_is_refused():
    module = Expressions(
        {
            "median": lambda m, x, i: x.median(1)[0],
            "product so far": lambda m, x, i: x.cumprod(1),
            "norm of a matrix": lambda m, x, i: torch.linalg.norm(x, ord=1, dim=(1, 2)),
        }
    )

    with pytest.raises(UnsupportedError) as caught:
        torch_side.read(module, tuple(inputs(3, 5, 4)))

    values = [reason["value"] for reason in caught.value.reasons()]
    assert values == ["'median.dim'", "'cumprod.default'", "1"]
