from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import biport.reference
import torch_side
from biport.errors import UnsupportedError
from biport.graph import Graph
from testing.expressions import some

PADDING = torch.tensor([[0, 0, 0, 0, 0], [0, 0, 0, 1, 1], [0, 1, 0, 0, 1]]).bool()


class Looks(nn.Module):
    """Rules of queries ``(N, S, 4)``, keys ``(N, T, 4)`` and padding ``(N, T)``."""

    def __init__(self, rules: dict[str, Callable[..., Any]], **parts: nn.Module) -> None:
        super().__init__()
        self.rules = rules
        for name, part in parts.items():
            self.add_module(name, part)
        generator = torch.Generator().manual_seed(1)
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=0.6, generator=generator)

    def forward(self, q, k, padding):
        return {name: rule(self, q, k, padding) for name, rule in self.rules.items()}


def draw(n: int, s: int, t: int, padding: torch.Tensor) -> tuple[torch.Tensor, ...]:
    rng = np.random.default_rng(s)
    q, k = (torch.as_tensor(rng.normal(size=(n, size, 4)), dtype=torch.float32) for size in (s, t))
    return q, k, padding


def read(rules: dict[str, Callable[..., Any]], **parts: nn.Module) -> Graph:
    """The graph, which computes what torch does: of the example, and where a row looks at nothing."""
    module = Looks(rules, **parts).eval()
    graph = torch_side.read(module, draw(3, 4, 5, PADDING))
    nothing = torch.tensor([[True] * 3, [False, False, True]])
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    for given in (draw(3, 4, 5, PADDING), draw(2, 2, 3, nothing)):
        with torch.no_grad():
            wanted = module(*given)
        flat = [
            part for value in wanted.values() for part in (value if isinstance(value, tuple) else [value])
        ]
        actual = biport.reference.run(graph, [x.numpy() for x in given])
        for one, two in zip([part for part in flat if part is not None], actual, strict=True):
            np.testing.assert_allclose(two, one.numpy(), rtol=2e-5, atol=2e-6)
    torch.backends.mha.set_fastpath_enabled(before)
    return graph


def sdpa(q: torch.Tensor, k: torch.Tensor, *args: Any, **settings: Any) -> torch.Tensor:
    return functional.scaled_dot_product_attention(q, k, k, *args, **settings)


PRODUCTS = {
    "booleans": lambda m, q, k, p: sdpa(q, k, ~p[:, None]),
    "plain": lambda m, q, k, p: sdpa(q, k),
    "heads": lambda m, q, k, p: sdpa(*(m.linear(x).unflatten(2, (2, 2)).transpose(1, 2) for x in (q, k))),
    "numbers, a scale": lambda m, q, k, p: sdpa(q, k, p[:, None].float(), scale=0.3),
    "by hand": lambda m, q, k, p: (q @ k.mT).masked_fill(p[:, None], float("-inf")).softmax(2) @ k,
    "causal": lambda m, q, k, p: sdpa(q, k, is_causal=True),
}


@pytest.mark.parametrize("every", [2, pytest.param(1, marks=pytest.mark.sweep)])
@pytest.mark.sweep
def test_products(every: int) -> None:
    read(some(PRODUCTS, every), linear=nn.Linear(4, 4))


def heads(**settings: Any) -> Callable[..., Any]:
    def rule(m: Any, q: torch.Tensor, k: torch.Tensor, p: torch.Tensor) -> Any:
        return m.attention(q, k, k, key_padding_mask=p, **settings)

    return rule


WAYS = {
    "with weights": {},
    "of each head": {"average_attn_weights": False},
    "without weights": {"need_weights": False},
}


def later(m: Any, q: torch.Tensor, k: torch.Tensor, p: torch.Tensor) -> Any:
    """Time first, a mask of both kinds."""
    later = torch.triu(torch.ones(k.size(1), k.size(1), dtype=torch.bool), 1)
    x = k.transpose(0, 1)
    return m.first(x, x, x, key_padding_mask=p, attn_mask=later)[0]


@pytest.mark.sweep
@pytest.mark.parametrize("every", [pytest.param(1, marks=pytest.mark.sweep), 9])
def test_several_heads_under_masks(every: int) -> None:
    rules = {name: heads(**settings) for name, settings in some(WAYS, every).items()} | {"later": later}
    read(rules, attention=nn.MultiheadAttention(4, 2, batch_first=True), first=nn.MultiheadAttention(4, 2))


def test_several_heads_without_masks_are_a_layer() -> None:
    rules = {
        "one": lambda m, q, k, p: m.one(q, k, k),
        "first": lambda m, q, k, p: m.first(*(x.transpose(0, 1) for x in (q, k, k)), need_weights=False)[0],
    }
    parts = {
        "one": nn.MultiheadAttention(4, 2, batch_first=True),
        "first": nn.MultiheadAttention(4, 2, bias=False),
    }

    graph = read(rules, **parts)

    assert [node.op.kind for node in graph.nodes if node.op.weights()] == ["MultiHeadAttention"] * 2
    assert [value.shape[-1] for value in graph.inputs[:2]] == [4, 4]


@pytest.mark.sweep
def test_layers_of_transformers() -> None:
    encoder = nn.TransformerEncoder(
        nn.TransformerEncoderLayer(4, 2, 6, batch_first=True), 1, enable_nested_tensor=False
    )
    decoder = nn.TransformerDecoderLayer(4, 2, 6, batch_first=True, norm_first=True, activation="gelu")
    rules = {
        "encoder": lambda m, q, k, p: m.encoder(k, src_key_padding_mask=p),
        "decoder": lambda m, q, k, p: m.decoder(q, k, memory_key_padding_mask=p),
    }
    read(rules, encoder=encoder, decoder=decoder)


def test_what_has_no_op_is_refused() -> None:
    rules = {
        "grouped": lambda m, q, k, p: sdpa(
            *(x.unflatten(2, (2, 2)).transpose(1, 2) for x in (q, k)), enable_gqa=True
        )
    }

    with pytest.raises(UnsupportedError, match="enable_gqa"):
        torch_side.read(Looks(rules).eval(), draw(3, 4, 5, PADDING))
