from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

import torch_side
from biport import ops
from biport.errors import UnsupportedError
from testing.expressions import Expressions, inputs, read_expressions, some

PRODUCTS = {
    "matmul": lambda m, x, i: x @ x.mT + torch.bmm(x, x.transpose(1, 2)),
    "matrices": lambda m, x, i: torch.mm(x[0], x[1].t()) + x[0] @ x[1].t(),
    "vectors": lambda m, x, i: torch.mv(x[0], x[0, 0]) * torch.dot(x[0, 0], x[0, 1]) + x[0] @ x[0, 1],
    "weights": lambda m, x, i: x @ m.own.square + m.own.vector @ m.own.square,
    "weights turned": lambda m, x, i: functional.linear(x, m.own.square * 2) + x @ m.own.square.t(),
    "inner": lambda m, x, i: torch.inner(x[0], x[1]) + torch.inner(x[0, 0], x[0, 1]),
    "outer": lambda m, x, i: torch.outer(x[0, 0], x[0, 1]) + torch.ger(x[0, 0], x[0, 1]),
    "addmm": lambda m, x, i: torch.addmm(x[0, :, :1], x[0], x[1].t(), beta=0.5, alpha=2),
    "baddbmm": lambda m, x, i: torch.baddbmm(x[:, :, :1], x, x.mT, beta=0.5, alpha=2),
    "baddbmm of nothing": lambda m, x, i: torch.baddbmm(torch.empty(1, 1, 1), x, x.mT, beta=0.0),
    "addbmm": lambda m, x, i: torch.addbmm(x[0, :, :1], x, x.mT),
    "addmv": lambda m, x, i: torch.addmv(x[0, :, 0], x[0], x[0, 0]),
    "addr": lambda m, x, i: torch.addr(x[0], x[0, :, 0], x[0, 0], alpha=2),
    "vecdot": lambda m, x, i: torch.linalg.vecdot(x, x[:, :1]),
    "einsum": lambda m, x, i: torch.einsum("nti,nsi->nts", x, x),
    "einsum with vectors": lambda m, x, i: torch.einsum("BtI,BI->Bt", x, x[:, 0]),
    "einsum with dots": lambda m, x, i: torch.einsum("...i,ji->...j", x, x[0]),
    "einsum without an arrow": lambda m, x, i: torch.einsum("nti,nsi", x, x) + torch.einsum("nti->", x),
    "einsum of three": lambda m, x, i: torch.einsum("nti,nsi,ni->nts", x, x, x[:, 0]),
    "einsum that broadcasts": lambda m, x, i: torch.einsum("nti,nti->nt", x[:, :1], x),
    "tensordot": lambda m, x, i: torch.tensordot(x, x[0], dims=([2], [1])),  # type: ignore[arg-type]
    "tensordot of the last": lambda m, x, i: torch.tensordot(x, x[0].t(), dims=1),
    "bilinear": lambda m, x, i: m.bilinear(x, x.tanh()),
    "cosine_similarity": lambda m, x, i: functional.cosine_similarity(x[:, :1], x + 1, dim=-1),
    "cosine over steps": lambda m, x, i: functional.cosine_similarity(x, x.tanh() * 0, dim=1),
    "pairwise_distance": lambda m, x, i: functional.pairwise_distance(x[:, 0], x[:, -1]),
}  # fmt: skip


class Own(nn.Module):
    def __init__(self):
        super().__init__()
        self.square = nn.Parameter(torch.randn(4, 4, generator=torch.Generator().manual_seed(0)))
        self.vector = nn.Parameter(torch.randn(4, generator=torch.Generator().manual_seed(1)))


def expressions(table):
    torch.manual_seed(0)
    fixed = {"four features": lambda m, x, i: x @ m.own.square.tanh()}
    return Expressions(fixed | table, own=Own(), bilinear=nn.Bilinear(4, 4, 2))


@pytest.mark.sweep
def test_products_with_weights_that_stay_trainable_however_they_are_used():
    used = {name: PRODUCTS[name] for name in ("weights", "weights turned")}
    graph, _ = read_expressions(expressions(used | some(PRODUCTS, 6)), (4, 3), (2, 6))

    parameters = {node.name: node.op for node in graph.nodes if isinstance(node.op, ops.Parameter)}
    assert {"own.square", "own.vector"} <= parameters.keys()
    assert all(op.trainable for op in parameters.values())
    assert sum(op.value.shape == (4, 4) for op in parameters.values()) == 1


@pytest.mark.sweep
def test_all_products():
    read_expressions(expressions(PRODUCTS), (4, 3), (2, 6))


def test_a_linear_layer_by_hand_is_one():
    table = {
        "Dense": lambda m, x, i: x @ m.own.square.t(),
        "Dense with bias": lambda m, x, i: torch.addmm(m.head.bias, x[:, 0], m.head.weight.transpose(0, 1)),
    }
    _, nodes = read_expressions(Expressions(table, own=Own(), head=nn.Linear(4, 2)))

    assert [node.op.kind for node in nodes.values()] == ["Dense", "Dense"]


REFUSED = {
    "cdist": (lambda m, x, i: torch.cdist(x, x), "cdist"),
    "integers": (lambda m, x, i: i @ i.mT, "int64"),
    "diagonal": (lambda m, x, i: torch.einsum("nii->ni", x[:, :4]), "no axis twice"),
}


def test_what_no_op_says_is_refused():
    rules = {name: rule for name, (rule, _) in REFUSED.items()}

    with pytest.raises(UnsupportedError) as caught:
        torch_side.read(expressions(rules), tuple(inputs(3, 5, 4)))

    texts = [str(reason) for reason in caught.value.reasons()]
    assert len(texts) == len(REFUSED)
    assert all(word in text for text, (_, word) in zip(texts, REFUSED.values(), strict=True))
