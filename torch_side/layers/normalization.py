"""Normalisation along axes that torch's own layers do not take."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional


class BatchNormalization(nn.BatchNorm1d):
    """`torch.nn.BatchNorm1d` along any axis but the batch, of tensors of any rank.

    Args:
        num_features: I.
        axis: which has I features.
        eps: what keeps the root away from zero.
        momentum: how much a training step takes from its batch; 1 less Keras' momentum.
    """

    def __init__(
        self, num_features: int, *, axis: int = -1, eps: float = 1e-5, momentum: float = 0.1
    ) -> None:
        super().__init__(num_features, eps, momentum)
        self.axis = axis

    def forward(self, input: Tensor) -> Tensor:
        """Any shape with I along ``axis``; the same shape."""
        moved = input.movedim(self.axis, -1)
        return super().forward(moved.reshape(-1, moved.shape[-1])).reshape(moved.shape).movedim(-1, self.axis)

    def extra_repr(self) -> str:
        """The settings, for ``print``."""
        return f"{super().extra_repr()}, axis={self.axis}"


class LayerNormalization(nn.Module):
    """`torch.nn.LayerNorm` over any axes.

    Args:
        axes: over which mean and variance are taken.
        eps: what keeps the root away from zero.
        rms_scaling: x is divided by its deviation and stays where it is, as Keras has it.
        shape: of weight and bias: the sizes of ``axes``.
        weight: whether there is one.
        bias: whether there is one.
    """

    def __init__(
        self,
        axes: Sequence[int],
        eps: float = 1e-3,
        *,
        rms_scaling: bool = False,
        shape: Sequence[int] = (),
        weight: bool = True,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.axes = tuple(axes)
        self.eps = eps
        self.rms_scaling = rms_scaling
        self.weight = nn.Parameter(torch.ones(*shape)) if weight else None
        self.bias = nn.Parameter(torch.zeros(*shape)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """Any shape; the same shape."""
        ends = tuple(range(-len(self.axes), 0))
        moved = x.movedim(self.axes, ends)
        sizes = moved.shape[-len(ends) :]
        if self.rms_scaling:
            variance = moved.var(ends, correction=0, keepdim=True)
            scaled = moved * torch.rsqrt(variance + self.eps)
            return (scaled if self.weight is None else scaled * self.weight).movedim(ends, self.axes)
        return functional.layer_norm(moved, sizes, self.weight, self.bias, self.eps).movedim(ends, self.axes)

    def extra_repr(self) -> str:
        """The settings, for ``print``."""
        return f"axes={self.axes}, eps={self.eps}" + (", rms_scaling=True" if self.rms_scaling else "")
