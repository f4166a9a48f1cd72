"""Modules that compute many expressions of torch at once: tracing fifty takes as long as tracing one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import biport.reference
import torch_side
from biport.errors import UnsupportedError
from biport.graph import Graph, Node

SAMPLE_AND_ALL = (8, pytest.param(1, marks=pytest.mark.sweep))
"""For `some`."""

Expression = Callable[[Any, torch.Tensor, torch.Tensor], Any]
"""Of the module, floats ``(N, T, 4)`` and integers of the same shape."""


class Expressions(nn.Module):
    """Each expression an output, or several."""

    def __init__(self, expressions: Mapping[str, Expression], **parts: nn.Module) -> None:
        super().__init__()
        self.expressions = expressions
        for name, part in parts.items():
            self.add_module(name, part)

    def forward(self, x, i):
        assert x.shape == i.shape
        assert x.shape[-1] == 4
        return {name: rule(self, x, i) for name, rule in self.expressions.items()}


def some(table: Mapping[str, Any], every: int) -> dict[str, Any]:
    """One in so many of a table: each expression adds 30 ms to the trace."""
    return {name: rule for position, (name, rule) in enumerate(table.items()) if position % every == 0}


def joined(*tables: Mapping[str, Any]) -> dict[str, Any]:
    """Several tables as one, for one trace; a name has the number of its table in front."""
    return {f"{at} {name}": rule for at, table in enumerate(tables) for name, rule in table.items()}


def inputs(*shape: int, seed: int = 0) -> list[torch.Tensor]:
    """Floats, some of them 0 and some alike, and integers from -4 to 4."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=shape).round(1)
    return [torch.as_tensor(x, dtype=torch.float32), torch.as_tensor(rng.integers(-4, 5, shape))]


def all_refused(table: Mapping[str, tuple[Expression, str]]) -> None:
    """Each expression is refused, all of them at once, with the word that stands beside it."""
    rules = {name: rule for name, (rule, _) in table.items()}
    with pytest.raises(UnsupportedError) as caught:
        torch_side.read(Expressions(rules), tuple(inputs(3, 5, 4)))
    texts = [str(reason) for reason in caught.value.reasons()]
    assert len(texts) == len(table)
    assert all(word in text for text, (_, word) in zip(texts, table.values(), strict=True))


def read_expressions(module: Expressions, *sizes: tuple[int, int]) -> tuple[Graph, dict[str, Node]]:
    """The graph, which computes what the expressions do at all sizes N and T, and the node of each."""
    graph = torch_side.read(module.eval(), tuple(inputs(3, 5, 4)))
    for n, t in sizes:
        given = inputs(n, t, 4, seed=1)
        with torch.no_grad():
            wanted = module(*given)
        actual = biport.reference.run(graph, [x.numpy() for x in given])
        for (name, one), two in zip(wanted.items(), actual, strict=True):
            np.testing.assert_allclose(two, one.numpy(), rtol=1e-5, atol=1e-5, err_msg=name)
            assert two.dtype.kind == one.numpy().dtype.kind, name
            # The reference computes in float64.
            assert two.dtype.kind == "f" or two.dtype == one.numpy().dtype, name
    makers = {output: node for node in graph.nodes for output in node.outputs}
    return graph, {name: makers[value] for name, value in zip(module.expressions, graph.outputs, strict=True)}
