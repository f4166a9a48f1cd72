from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

import torch_side
from testing.expressions import Expressions, all_refused, inputs, read_expressions, some

FOUR = {"four features": lambda m, x, i: x + i * m.four.weight}
"""Has the last axis of both inputs be of a fixed size."""

SHAPES = {
    "view": lambda m, x, i: x.view(x.size(0), -1),
    "view of rows": lambda m, x, i: x.view(-1, x.size(2)) * 2,
    "reshape": lambda m, x, i: x.reshape(x.shape[0] * x.shape[1], 2, 2),
    "flatten": lambda m, x, i: x.flatten(1).sum(1),
    "flatten all": lambda m, x, i: x.flatten() - x.ravel() * 3,
    "flatten in front": lambda m, x, i: torch.flatten(x, 0, 1),
    "unflatten": lambda m, x, i: x.unflatten(2, (2, 2)) + x.unflatten(-1, (2, -1)),
    "view_as": lambda m, x, i: x.transpose(1, 2).reshape_as(x) + i.view_as(x),
    "T": lambda m, x, i: x[:, 0].T @ x[:, 0],
    "t": lambda m, x, i: x[0].t() + x[0, 0].t()[:, None],
    "mT": lambda m, x, i: x.mT * torch.adjoint(x),
    "permute": lambda m, x, i: x.permute(2, 0, -2),
    "movedim": lambda m, x, i: x.movedim(0, 2) - torch.moveaxis(x, (0, 1), (2, 0)),
    "swapaxes": lambda m, x, i: x.swapaxes(0, -1) * 2,
    "squeeze": lambda m, x, i: x.unsqueeze(1).squeeze(1) + x[:, :1].squeeze(1)[:, None],
    "squeeze some": lambda m, x, i: x[:, :1].unsqueeze(0).squeeze((0, 2)),
    "squeeze nothing": lambda m, x, i: x.squeeze(2) * 4,
    "expand": lambda m, x, i: x[:, :1].expand(-1, 5, -1),
    "expand to sizes": lambda m, x, i: x[:, 0].unsqueeze(1).expand(x.size(0), x.size(1), 4),
    "expand in front": lambda m, x, i: x[0].expand(3, -1, -1),
    "expand_as": lambda m, x, i: x[:, :1].expand_as(x) - torch.broadcast_to(x[:, -1:], x.shape),
    "broadcast_tensors": lambda m, x, i: torch.broadcast_tensors(x[:, :1], i)[0],
    "repeat": lambda m, x, i: x.repeat(1, 2, 3),
    "repeat in front": lambda m, x, i: x.repeat(2, 1, 1, 1),
    "repeat by a size": lambda m, x, i: x[:, 0].unsqueeze(1).repeat(1, x.size(1), 1),
    "tile": lambda m, x, i: x.tile((2, 1)) * 2,
    "repeat_interleave": lambda m, x, i: x.repeat_interleave(3, dim=1),
    "repeat_interleave all": lambda m, x, i: torch.repeat_interleave(x, 2),
    "repeat_interleave by a size": lambda m, x, i: x[:, 0].repeat_interleave(x.size(1), dim=0),
    "meshgrid": lambda m, x, i: torch.meshgrid(x[0, :, 0], x[:, 0, 0], indexing="ij")[1],
    "meshgrid turned": lambda m, x, i: torch.meshgrid(x[0, :, 0], x[:, 0, 0], indexing="xy")[0],
    "flip": lambda m, x, i: x.flip(1) + x.flip(0, 2) - torch.fliplr(x) * torch.flipud(x),
    "roll": lambda m, x, i: x.roll(1, 1) + x.roll((1, -2), (1, 2)) - torch.roll(x, 1),
    "roll by a size": lambda m, x, i: x.roll(x.size(1) - 1, 1) - x.roll(x.size(1) // 2, 1),
    "rot90": lambda m, x, i: torch.rot90(x, 1, (1, 2)) + torch.rot90(x, 3, (1, 2)),
    "rot90 twice": lambda m, x, i: torch.rot90(x, 2, (0, 2)),
}  # fmt: skip
CUTS = {
    "from": lambda m, x, i: x[:, 1:],
    "all but the last": lambda m, x, i: x[:, :-1] * 2,
    "every other": lambda m, x, i: x[:, ::2],
    "features": lambda m, x, i: x[..., 1:3],
    "the last two": lambda m, x, i: x[:, -2:],
    "the middle": lambda m, x, i: x[:, 1:-1] * 3,
    "beyond the end": lambda m, x, i: x[:, 10:20].sum(1),
    "from far in front": lambda m, x, i: x[:, -9:-1],
    "empty": lambda m, x, i: x[:, 2:1],
    "by steps": lambda m, x, i: x[:, -3:-1:2],
    "halves": lambda m, x, i: torch.cat([x[:, x.size(1) // 2 :], x[:, : x.size(1) // 2]], 1),
    "from behind by a size": lambda m, x, i: x[:, -x.size(1) // 2 :],
    "up to a size from behind": lambda m, x, i: x[:, : -x.size(1) // 2],
    "between sizes": lambda m, x, i: x[:, x.size(1) - 2 : x.size(1) - 1],
    "last": lambda m, x, i: x[:, -1] + x[:, x.size(1) - 1] * 2 - x.select(1, -1),
    "first and last but one": lambda m, x, i: x[:, 0] - x[:, -2, :],
    "middle": lambda m, x, i: x[:, x.size(1) // 2],
    "last row": lambda m, x, i: x[-1] * x[0, 1],
    "mixed": lambda m, x, i: x[:, -1, None, ::3] * x[..., :1, -1, None],
    "narrow": lambda m, x, i: x.narrow(2, 1, 2)[:, :1] + x.narrow(1, 0, x.size(1) - 1)[..., :2],
    "narrow from behind": lambda m, x, i: x.narrow(1, -1, 1),
    "split": lambda m, x, i: torch.cat(x.split(2, dim=2)[::-1], 2),
    "split by sizes": lambda m, x, i: torch.cat(x.split([1, 3], dim=-1)[::-1], -1),
    "chunk": lambda m, x, i: x.chunk(2, -1)[1] * x.chunk(3, -1)[0],
    "chunk of steps": lambda m, x, i: x.repeat(1, 2, 1).chunk(2, 1)[1],
    "split at a size": lambda m, x, i: x.split([1, x.size(1) - 1], 1)[1] * 2,
    "unbind": lambda m, x, i: torch.stack(x.unbind(-1)[::-1], 1),
    "tensor_split": lambda m, x, i: x.tensor_split(3, 2)[0] + x.tensor_split((1, 3), dim=2)[1],
    "cat": lambda m, x, i: torch.cat([x, i * 2, x[:, :1]], 1),
    "cat with nothing": lambda m, x, i: torch.cat([torch.zeros(0), x * 7], 0),
    "stack": lambda m, x, i: torch.stack([x, i], 0).sum(0) + torch.stack((x, x), -1)[..., 1],
    "hstack": lambda m, x, i: torch.hstack((x, x))[:, :2] + torch.vstack((x, x))[:1, :2],
    "hstack of vectors": lambda m, x, i: torch.hstack((x[0, 0], x[0, 1])),
    "dstack": lambda m, x, i: torch.dstack((x[:, 0], x[:, 1])),
    "column_stack": lambda m, x, i: torch.column_stack((x[:, 0, 0], x[:, 1])),
    "pad": lambda m, x, i: functional.pad(x, (1, 2)),
    "pad steps": lambda m, x, i: functional.pad(x, (0, 0, 1, 1), value=2.0),
    "pad by less": lambda m, x, i: functional.pad(x, (-1, 0, 1, -1)),
    "pad to a multiple": lambda m, x, i: functional.pad(x, (0, 0, 0, 3 - x.size(1) % 3)),
    "pad to a length": lambda m, x, i: functional.pad(x, (0, 0, 0, 6 - x.size(1))),
    "reflect": lambda m, x, i: functional.pad(x, (1, 1), mode="reflect"),
    "replicate": lambda m, x, i: functional.pad(x.mT, (1, 2), mode="replicate"),
    "circular": lambda m, x, i: functional.pad(x.mT, (1, 2), mode="circular"),
    "unfold": lambda m, x, i: x.unfold(2, 2, 1),
    "unfold steps": lambda m, x, i: x.unfold(1, 2, 1) * x.unfold(1, 2, 1).flip(-1),
}  # fmt: skip
MATRICES = {
    "tril": lambda m, x, i: x.tril() + i.tril(-1) - x.tril(x.size(1) - 2),
    "causal": lambda m, x, i: torch.triu(torch.ones(x.size(1), x.size(1)), diagonal=1),
    "causal booleans": lambda m, x, i: torch.tril(torch.ones(x.size(1), x.size(1), dtype=torch.bool)),
    "causal infinity": lambda m, x, i: nn.Transformer.generate_square_subsequent_mask(x.size(1)),
    "diagonal": lambda m, x, i: torch.diagonal(x[:, :2], 1, 1, 2) * torch.diagonal(x[:, :3], -1, 1, 2),
    "diag": lambda m, x, i: torch.diag(x[0, 0]) + torch.diag_embed(x[:, 0])[0],
    "diag of a matrix": lambda m, x, i: (x[:, :2].mT @ x[:, :2])[0].diag(),
    "first step": lambda m, x, i: _written(x, lambda out: out.__setitem__((slice(None), 0), x[:, 1])),
    "last step": lambda m, x, i: _written(x, lambda out: out.__setitem__((slice(None), -1), x[:, 0])),
    "middle": lambda m, x, i: _written(x, lambda out: out.__setitem__((slice(None), slice(1, -1)), 0)),
    "shifted": lambda m, x, i: _written(x, lambda out: out[:, 1:].copy_(x[:, :-1])),
    "every other step": lambda m, x, i: _written(
        x, lambda out: out.__setitem__((slice(None), slice(None, None, 2)), 1)
    ),
    "half the features": lambda m, x, i: _written(x, lambda out: out[..., :2].copy_(x[..., 2:])),
    "every other feature": lambda m, x, i: _written(
        x, lambda out: out.__setitem__((..., slice(1, None, 2)), x[..., :2])
    ),
    "one feature": lambda m, x, i: _written(x, lambda out: out[:, :, 1].fill_(3.0)),
    "added": lambda m, x, i: _written(x, lambda out: out[:, 0].add_(x[:, 1])),
    "zeroed": lambda m, x, i: _written(x, lambda out: out.zero_()),
    "loop": lambda m, x, i: _loop(x),
    "wide": lambda m, x, i: _wide(x),
}  # fmt: skip


def _written(x, change):
    out = x * 2
    change(out)
    return out


def _loop(x):
    out = torch.zeros(4, x.size(0), x.size(1))
    for step in range(4):
        out[step] = x[:, :, step] + (out[step - 1] if step else 0)
    return out


def _wide(x):
    out = torch.empty(x.size(0), x.size(1) + 2, 4)
    out[:, 1 : x.size(1) + 1] = x
    out[:, 0] = 1
    out[:, -1] = 2
    return out


class Four(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(4))


def check(table):
    read_expressions(Expressions(FOUR | table, four=Four()), (4, 3), (2, 4))


def test_elements_are_moved_and_written_as_torch_does():
    check(some(SHAPES | CUTS | MATRICES, 8))


@pytest.mark.sweep
@pytest.mark.parametrize("table", [SHAPES, CUTS, MATRICES])
def test_all_elements_are_moved_and_written_as_torch_does(table):
    check(table)


@pytest.mark.sweep
def test_layers_are_preferred_and_a_loop_that_fills_a_tensor_is_one_stack():
    table = {"Flatten": SHAPES["view"], "Flip": lambda m, x, i: x.flip(1), "Stack": MATRICES["loop"]}
    graph, nodes = read_expressions(Expressions(FOUR | table, four=Four()))

    assert all(nodes[name].op.kind == name for name in table)
    assert sum(node.op.kind == "Stack" for node in graph.nodes) == 1


def test_a_squeezed_size_that_varies_is_noted():
    module = Expressions(FOUR | {"y": lambda m, x, i: x.squeeze()}, four=Four())
    with pytest.warns(UserWarning, match="squeeze leaves N, T in place"):
        graph = torch_side.read(module, tuple(inputs(3, 5, 4)))

    assert "squeeze leaves N, T" in graph.origin["notes"]


REFUSED = {
    "memory": (lambda m, x, i: x.as_strided((2, 2), (1, 1)), "as_strided"),
    "counts": (lambda m, x, i: x.repeat_interleave(i[0, :, 0].abs(), 1), "repeat_interleave"),
    "offset": (lambda m, x, i: torch.diag(x[0, 0], 1), "offset"),
}


def test_what_is_not_exact_is_refused():
    all_refused(REFUSED)
