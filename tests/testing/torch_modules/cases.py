"""A list of modules as people write them, each with what it is called with."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

V = 20
"""Rows of most tables of ids."""
EXAMPLE = (3, 7)
"""N and T of the call that a module is read from."""
OTHERS = ((2, 5), (5, 11))
"""Where it has to compute the same as well."""

Class = TypeVar("Class", bound=Callable[..., nn.Module])
Inputs = Callable[[int, int], Any]


@dataclass(frozen=True)
class Case:
    """A module, and what is expected of reading it.

    Args:
        name: of its class, and what tells it from others of the class.
        make: builds it.
        arguments: of a call, for N and T: a tuple of the positional ones, or a mapping of named ones.
        refused: words of the error where it has to be refused.
        steps: T, where forward computes with the number of steps.
        rows: N, where forward computes with the number of rows.
    """

    name: str
    make: Callable[[], nn.Module]
    arguments: Inputs
    refused: str | None = None
    steps: int | None = None
    rows: int | None = None

    def build(self) -> nn.Module:
        """The module in eval mode, with no number left at a default of zero or one, kernels of trained scale."""
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.manual_seed(0)
            module = self.make().eval()
            with torch.no_grad():
                for name, tensor in (*module.named_parameters(), *module.named_buffers()):
                    if tensor.dim() == 1 and tensor.is_floating_point():
                        tensor.add_(0.3 * torch.rand_like(tensor))
                    if tensor.dim() > 2:
                        tensor.mul_(2.5)  # Kernels begin so small that rows give nearly the same numbers.
        return module

    def call(self, sizes: tuple[int, int]) -> Any:
        """Arguments for N and T, the same ones for the same sizes."""
        N, T = self.rows or sizes[0], self.steps or sizes[1]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(100 * N + T)
            return self.arguments(N, T)


CASES: dict[str, Case] = {}


def case(
    arguments: Inputs,
    *args: Any,
    name: str = "",
    refused: str | None = None,
    steps: int | None = None,
    rows: int | None = None,
    **kwargs: Any,
) -> Callable[[Class], Class]:
    """Put a class into the list, built with these arguments."""

    def register(cls: Class) -> Class:
        own = getattr(cls, "__name__")
        full = f"{own}_{name}" if name else own
        assert full not in CASES
        CASES[full] = Case(full, lambda: cls(*args, **kwargs), arguments, refused, steps, rows)
        return cls

    return register


def ids(*shape: int, vocab: int = V, padded: bool = False) -> Tensor:
    """Ids; of padded rows the first has full length, and 0 stands at the end of the others."""
    numbers = torch.randint(1, vocab, shape)
    if padded:
        numbers = numbers * valid(shape[0], shape[1])
    return numbers


def floats(*shape: int) -> Tensor:
    return torch.randn(shape)


def lengths(N: int, T: int, ordered: bool = True) -> Tensor:
    """How long each row is, one of them T: from the longest, or in any order."""
    numbers = torch.randint(1, T + 1, (N,))
    numbers[N // 2] = T
    return numbers.sort(descending=True).values if ordered else numbers


def valid(N: int, T: int, ordered: bool = False) -> Tensor:
    return torch.arange(T)[None] < lengths(N, T, ordered)[:, None]
