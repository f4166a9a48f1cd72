"""The same numbers in another shape, with the batch first and left alone."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from torch_side.layers.errors import LayerInputError


class Reshape(nn.Module):
    """``(N, ...)`` to ``(N, *shape)``, empty batches too.

    Args:
        shape: sizes; one may be -1, which is whatever is left.
    """

    def __init__(self, shape: Sequence[int]) -> None:
        super().__init__()
        self.shape = tuple(shape)
        self.sizes = list(shape)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, ...)`` to ``(N, *shape)``.

        Raises:
            LayerInputError: a row has another number of elements.
        """
        given, known = 1, 1
        for size in x.shape[1:]:
            given = given * size
        for size in self.sizes:
            known = known * (1 if size == -1 else size)
        # Over an empty batch torch cannot tell what -1 is.
        rest = given // known if -1 in self.sizes else 1
        if known * rest != given:
            raise LayerInputError(f"rows of shape {list(x.shape[1:])} do not go into {self.sizes}")
        return x.reshape([x.shape[0]] + [rest if size == -1 else size for size in self.sizes])

    def extra_repr(self) -> str:
        """The settings, for ``print``."""
        return f"{self.shape}"


class RepeatVector(nn.Module):
    """``(N, I)`` to ``(N, n, I)``: the same vector at every step."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.n = n

    def forward(self, x: Tensor) -> Tensor:
        """``(N, I)`` to ``(N, n, I)``."""
        return x.unsqueeze(1).repeat(1, self.n, 1)

    def extra_repr(self) -> str:
        """The settings, for ``print``."""
        return f"{self.n}"


class ZeroPadding1D(nn.Module):
    """``before`` steps of zeros before ``(N, T, I)`` and ``behind`` behind it.

    `torch.nn.ZeroPad1d` does this for ``(N, I, T)``.
    """

    def __init__(self, before: int, behind: int) -> None:
        super().__init__()
        self.padding = (before, behind)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, T, I)`` to ``(N, before + T + behind, I)``."""
        return functional.pad(x, (0, 0, *self.padding))

    def extra_repr(self) -> str:
        """The settings, for ``print``."""
        return "{}, {}".format(*self.padding)


class Cropping1D(nn.Module):
    """``(N, T, I)`` without its ``first`` and ``last`` steps; no steps where there are no more than these."""

    def __init__(self, first: int, last: int) -> None:
        super().__init__()
        self.cropping = (first, last)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, T, I)`` to ``(N, max(T - first - last, 0), I)``."""
        first, last = self.cropping
        return x[:, first : max(x.shape[1] - last, 0)]

    def extra_repr(self) -> str:
        """The settings, for ``print``."""
        return "{}, {}".format(*self.cropping)


class UpSampling1D(nn.Module):
    """Every step of ``(N, T, I)`` ``size`` times; `torch.nn.Upsample` does this for ``(N, I, T)``."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        """``(N, T, I)`` to ``(N, size · T, I)``."""
        return torch.repeat_interleave(x, self.size, dim=1)

    def extra_repr(self) -> str:
        """The settings, for ``print``."""
        return f"{self.size}"
