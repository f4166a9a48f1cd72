"""Modules of somebody's own that a function says the ops of, in place of their traced code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

CLASSES: dict[type[nn.Module] | str, Callable[[Any], Any]] = {}
"""By class, or its name: with its module, or without."""


def reads_class(kind: type[nn.Module] | str) -> Callable[[Callable[[Any], Any]], Callable[[Any], Any]]:
    """Decorate the function that says what a module of somebody's own is in known ops.

    The module stays whole while `torch_side.read` traces the model around it: its ``forward`` need not be one
    that `torch.export` can take. The function is called in place of it, given a `torch_side.MappedModule`,
    and gives what the module gives, in the same structure; the graph is compared with the model as any
    graph is. Said twice of one class, the last word counts.

    Args:
        kind: the class itself, or its name: ``"mylib.pooling.AttentionPool"``, or ``"AttentionPool"``.

    Example:
        >>> import torch, torch_side
        >>> class Doubled(torch.nn.Module):
        ...     def forward(self, x):
        ...         return x * 2
        >>> @torch_side.reads_class(Doubled)
        ... def doubled(module):
        ...     return module.input * 2.0
        >>> print(torch_side.read(Doubled(), torch.ones(2, 3)))
        graph(x: float32 (N, T)) -> multiply
          constant : float32 ()     = Constant(value=2.)()
          multiply : float32 (N, T) = Elementwise(function=multiply)(x, constant)
    """

    def keep(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
        CLASSES[kind] = function
        return function

    return keep


def reader_of_class(kind: type[nn.Module]) -> Callable[[Any], Any] | None:
    """Who reads modules of a class in place of its code."""
    keys = (kind, f"{kind.__module__}.{kind.__qualname__}", kind.__qualname__)
    return next((CLASSES[key] for key in keys if key in CLASSES), None)
