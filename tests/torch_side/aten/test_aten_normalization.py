from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

import torch_side
from biport import ops
from biport.errors import UnsupportedError
from testing.expressions import Expressions, inputs, read_expressions

PARTS: dict[str, Any] = {
    "batch": lambda: nn.BatchNorm1d(4, momentum=0.2),
    "plain": lambda: nn.BatchNorm1d(4, affine=False),
    "layer": lambda: nn.LayerNorm(4),
    "bare": lambda: nn.LayerNorm(4, elementwise_affine=False, eps=1e-3),
    "scaled": lambda: nn.LayerNorm(4, bias=False),
    "group": lambda: nn.GroupNorm(2, 4),
    "instance": lambda: nn.InstanceNorm1d(4, affine=True),
    "kept": lambda: nn.InstanceNorm1d(4, affine=True, track_running_stats=True),
    "rms": lambda: nn.RMSNorm(4, eps=1e-5),
    "unscaled": lambda: nn.RMSNorm(4, elementwise_affine=False),
    "wide": lambda: nn.BatchNorm2d(4),
}


def turned(name: str) -> Any:
    return lambda m, x, i: getattr(m, name)(x.transpose(1, 2)).transpose(1, 2)


RULES = {
    **{name: turned(name) for name in ("batch", "plain", "group", "instance", "kept")},
    **{name: lambda m, x, i, name=name: getattr(m, name)(x) for name in ("layer", "bare", "scaled")},
    "rms": lambda m, x, i: m.rms(x),
    "unscaled": lambda m, x, i: m.unscaled(x + 2),
    "of rows": lambda m, x, i: m.batch(x[:, 0]) + m.group(x[:, -1]),
    "of four axes": lambda m, x, i: m.wide(x.transpose(1, 2).unsqueeze(2)),
    "computed weights": lambda m, x, i: functional.layer_norm(
        x, (4,), x.mean((0, 1)), i.float().mean((0, 1))
    ),
}


def parts() -> dict[str, nn.Module]:
    generator = torch.Generator().manual_seed(3)
    made = {name: make() for name, make in PARTS.items()}
    for part in made.values():
        for tensor in (*part.parameters(), *(x for x in part.buffers() if x.is_floating_point())):
            nn.init.uniform_(tensor, 0.3, 2, generator=generator)
    return made


def test_normalization() -> None:
    graph, nodes = read_expressions(Expressions(RULES, **parts()), (4, 3), (1, 2))

    kinds = {name: node.op.kind for name, node in nodes.items()}
    layers = ("BatchNormalization", "LayerNormalization", "GroupNormalization", "RMSNormalization")
    assert all(kinds[name] in layers for name in (*PARTS,) if name in kinds)
    assert kinds["kept"] == "BatchNormalization"
    # One layer called twice is one op.
    batch = [
        node.op
        for node in graph.nodes
        if node.op.kind == "BatchNormalization" and node.name.startswith("batch")
    ]
    assert isinstance(batch[0], ops.BatchNormalization)
    assert len(set(map(id, batch))) == 1 < len(batch)
    assert batch[0].momentum == 0.8


def test_statistics_of_the_batch_are_refused() -> None:
    module = nn.BatchNorm1d(4, track_running_stats=False).eval()

    with pytest.raises(UnsupportedError, match="track_running_stats=True"):
        torch_side.read(module, (inputs(3, 5, 4)[0].transpose(1, 2),))
