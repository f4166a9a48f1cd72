from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from testing.expressions import Expressions, all_refused, read_expressions, some


def steps(x, i):
    """A valid step for each row, some counted from the end."""
    return i[:, 0, 0].clamp(-1, 1)


def ids(i):
    return i.abs().clamp(max=3)


def rows(x):
    return torch.arange(x.size(0))


FOUR = {"four features": lambda m, x, i: x + i * m.four.weight}
READ = {
    "step of each row": lambda m, x, i: x[rows(x), steps(x, i)],
    "gathered step": lambda m, x, i: x.gather(
        1, steps(x, i).abs().view(-1, 1, 1).expand(-1, 1, x.size(2))
    ).squeeze(1),
    "steps of each row": lambda m, x, i: x[rows(x).unsqueeze(1), i[:, :, 0].clamp(-1, 1)],
    "features of each row": lambda m, x, i: x[rows(x), :, ids(i)[:, 0, 0]],
    "rows in order": lambda m, x, i: x[i[:, 0, 0].argsort(stable=True)],
    "and back": lambda m, x, i: x[i[:, 0, 0].argsort(stable=True)][i[:, 0, 0].argsort(stable=True).argsort()],
    "constant features": lambda m, x, i: x[:, :, torch.tensor([0, -2])],
    "constant pairs": lambda m, x, i: x[:, [0, -1], [1, 3]],
    "with an axis between": lambda m, x, i: x[[0, 1], :, [1, 2]],
    "with a new axis": lambda m, x, i: x[:, None][rows(x), 0, steps(x, i)],
    "three": lambda m, x, i: x[torch.tensor([[0], [1]]), torch.tensor([0, 1, -1]), torch.tensor([3])],
    "matrix of features": lambda m, x, i: x[..., ids(i)[0, :2]],
    "backwards": lambda m, x, i: x[:, torch.arange(x.size(1) - 1, -1, -1)],
    "range and a number": lambda m, x, i: x[rows(x), -1] + x[rows(x)][:, 0],
    "index_select": lambda m, x, i: x.index_select(2, torch.tensor([1, 0])),
    "take": lambda m, x, i: x.take(torch.tensor([[0, 1], [-1, 2]])),
    "gather": lambda m, x, i: torch.gather(x, 2, ids(i)),
    "gather a part": lambda m, x, i: torch.gather(x[:, :2], 1, ids(i)[:, :1, :2].clamp(max=1)),
    "gather rows": lambda m, x, i: x.gather(0, ids(i)[:2, :2].clamp(max=1)),
    "one_hot": lambda m, x, i: functional.one_hot(ids(i), 5) + functional.one_hot(ids(i), 5).cumsum(1),
    "eye": lambda m, x, i: torch.eye(4)[ids(i)],
    "topk": lambda m, x, i: (x + i).topk(2, -1)[0] + torch.topk(x, 2, -1, largest=False, sorted=False).values,
    "topk places": lambda m, x, i: (i * 10 + torch.arange(4)).topk(2, -1).indices,
    "sort": lambda m, x, i: x.sort(1)[0] + x.sort(dim=1, descending=True)[0] * 2,
    "sort places": lambda m, x, i: x.sort(dim=1, descending=True, stable=True)[1] - x.argsort(stable=True),
    "msort": lambda m, x, i: torch.msort(x) + x.kthvalue(2, 1, True)[0] - x.kthvalue(1, 2)[0][..., None],
}  # fmt: skip
WRITTEN = {
    "scatter a number": lambda m, x, i: torch.zeros(*x.shape[:2], 5).scatter_(2, ids(i)[..., :1], 1.0),
    "scatter numbers": lambda m, x, i: torch.zeros(x.size(0), x.size(1), 5).scatter(2, ids(i), 2.0),
    "scatter values": lambda m, x, i: x.scatter(1, steps(x, i).abs().view(-1, 1, 1).expand(-1, 1, 4), x * 2),
    "scatter_add": lambda m, x, i: torch.zeros_like(x).scatter_add(2, ids(i), x),
    "where true": lambda m, x, i: _put(x, x > 0, 0.5),
    "rows where true": lambda m, x, i: _put(x, i[:, :, 0] > 0, 0.5),
    "steps": lambda m, x, i: _put(x, (slice(None), [0, -1]), 1.0),
    "step of each row": lambda m, x, i: _put(x, (rows(x), steps(x, i)), 0.0),
    "value of each row": lambda m, x, i: _put(x, (rows(x), steps(x, i)), x[:, 0] * 3),
    "pairs": lambda m, x, i: _put(x, (slice(None), torch.tensor([0, 1]), torch.tensor([2, -1])), 4.0),
    "index_fill": lambda m, x, i: x.index_fill(2, torch.tensor([1, 3]), 5.0),
}  # fmt: skip


def _put(x, index, value):
    out = x * 2
    out[index] = value
    return out


class Four(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(4))


def check(table):
    return read_expressions(Expressions(FOUR | table, four=Four()), (4, 3), (2, 4))


def test_elements_are_read_and_written_where_integers_say():
    last = ("step of each row", "gathered step")
    _, nodes = check(some(READ | WRITTEN, 6) | {name: READ[name] for name in last})

    assert {nodes[name].op.kind for name in last} == {"StepAt"}


@pytest.mark.sweep
@pytest.mark.parametrize("table", [READ, WRITTEN])
def test_all_elements_are_read_and_written_where_integers_say(table):
    check(table)


@pytest.mark.sweep
def test_what_torch_traces_at_one_size_alone():
    table = {
        "order": lambda m, x, i: torch.take_along_dim(x, x.argsort(dim=1, stable=True), 1),
        "step": lambda m, x, i: x.take_along_dim(steps(x, i).view(-1, 1, 1), dim=1),
        "all": lambda m, x, i: x.take_along_dim(ids(i)),
        "product": lambda m, x, i: torch.linalg.multi_dot([x[0], x[0].t(), x[0]]),
    }
    with pytest.warns(UserWarning, match="axis 1 of x is fixed at 5"):
        read_expressions(Expressions(table))


REFUSED = {
    "x[mask]": (lambda m, x, i: x[x > 0], "booleans"),
    "nonzero": (lambda m, x, i: x.nonzero(), "nonzero"),
    "masked_select": (lambda m, x, i: x.masked_select(x > 0), "masked_select"),
    "values where true": (lambda m, x, i: _put(x, x[:, :, 0] > 0, x[0, 0]), "mask of booleans"),
    "accumulate": (lambda m, x, i: x.index_put((torch.tensor([0]),), x[0], accumulate=True), "accumulate"),
}


def test_what_depends_on_numbers_is_refused():
    all_refused(REFUSED)
