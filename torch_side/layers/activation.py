"""Activations by their Keras names, and modules for those that torch has none for, or one with other rules.

A function of torch is used where there is one. Its defaults are not always Keras': `leaky_relu` has another
slope, and `softplus` is a straight line above a threshold of 20, which is 2e-9 off.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from torch_side.layers.errors import LayerInputError
from torch_side.layers.masks import lowest


def linear(x: Tensor) -> Tensor:
    """``x`` itself."""
    return x


def hard_sigmoid_keras2(x: Tensor) -> Tensor:
    """A line of slope 1/5 through (0, 1/2), cut at 0 and 1: Keras 1's and 2's `hard_sigmoid`."""
    return (0.2 * x + 0.5).clamp(0, 1)


def hard_shrink(x: Tensor) -> Tensor:
    """Zero where not ``|x| > 1/2``, as of NaN; torch's own of NaN is NaN."""
    return torch.where(x.abs() > 0.5, x, 0)


def soft_shrink(x: Tensor) -> Tensor:
    """``x`` moved towards zero by 1/2, not beyond it; of NaN it is zero, and torch's own is NaN."""
    return torch.where(x.abs() > 0.5, x - 0.5 * x.sign(), 0)


def sparse_plus(x: Tensor) -> Tensor:
    """Zero below -1, ``(x + 1)² / 4`` up to 1, then ``x``."""
    return torch.where(x >= 1, x, (x.clamp(-1, 1) + 1).square() / 4)


def sparse_sigmoid(x: Tensor) -> Tensor:
    """A line of slope 1/2 through (0, 1/2), cut at 0 and 1."""
    return ((x + 1) / 2).clamp(0, 1)


def squareplus(x: Tensor) -> Tensor:
    """``(x + √(x² + 4)) / 2``."""
    return (x + (x.square() + 4).sqrt()) / 2


class Exponential(nn.Module):
    """``eˣ``."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        return torch.exp(x)


class HardSigmoidKeras2(nn.Module):
    """`hard_sigmoid_keras2`."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        return hard_sigmoid_keras2(x)


class HardShrink(nn.Module):
    """`hard_shrink`."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        return hard_shrink(x)


class SoftShrink(nn.Module):
    """`soft_shrink`."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        return soft_shrink(x)


class SparsePlus(nn.Module):
    """`sparse_plus`."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        return sparse_plus(x)


class SparseSigmoid(nn.Module):
    """`sparse_sigmoid`."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        return sparse_sigmoid(x)


class Squareplus(nn.Module):
    """`squareplus`."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        return squareplus(x)


ACTIVATION_FUNCTIONS: dict[str, partial[Tensor]] = {
    "celu": partial(functional.celu),
    "elu": partial(functional.elu),
    "exponential": partial(torch.exp),
    "gelu": partial(functional.gelu),
    "hard_shrink": partial(hard_shrink),
    "hard_sigmoid": partial(functional.hardsigmoid),
    "hard_sigmoid_keras2": partial(hard_sigmoid_keras2),
    "hard_silu": partial(functional.hardswish),
    "hard_tanh": partial(functional.hardtanh),
    "leaky_relu": partial(functional.leaky_relu, negative_slope=0.2),
    "linear": partial(linear),
    "log_sigmoid": partial(functional.logsigmoid),
    "log_softmax": partial(torch.log_softmax, dim=-1),
    "mish": partial(functional.mish),
    "relu": partial(torch.relu),
    "relu6": partial(functional.relu6),
    "selu": partial(functional.selu),
    "sigmoid": partial(torch.sigmoid),
    "silu": partial(functional.silu),
    "soft_shrink": partial(soft_shrink),
    "softmax": partial(torch.softmax, dim=-1),
    "softplus": partial(functional.softplus, threshold=40.0),
    "softsign": partial(functional.softsign),
    "sparse_plus": partial(sparse_plus),
    "sparse_sigmoid": partial(sparse_sigmoid),
    "squareplus": partial(squareplus),
    "tanh": partial(torch.tanh),
    "tanh_shrink": partial(functional.tanhshrink),
}
"""What computes each activation, with the settings that make it Keras'; of any shape."""


def apply(name: str, x: Tensor) -> Tensor:
    """The activation called ``name`` of ``x``, any shape."""
    return ACTIVATION_FUNCTIONS[name](x)


class ReLU(nn.Module):
    """``x`` above ``threshold``, ``negative_slope (x - threshold)`` elsewhere; then at most ``max_value``."""

    def __init__(
        self,
        max_value: float | None = None,
        negative_slope: float = 0.0,
        threshold: float = 0.0,
    ) -> None:
        super().__init__()
        self.max_value = max_value
        self.negative_slope = negative_slope
        self.threshold = threshold

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        # As in Keras, NaN is none above a threshold, and stays where there is none.
        above = (
            torch.where(x > self.threshold, x, 0) if self.threshold else x.clamp(min=0)
        )
        if self.max_value is not None:
            above = above.clamp(max=self.max_value)
        if not self.negative_slope:
            return above
        return above - self.negative_slope * (self.threshold - x).clamp(min=0)

    def extra_repr(self) -> str:
        """The settings, for ``print``."""
        return f"{self.max_value}, negative_slope={self.negative_slope}, threshold={self.threshold}"


class PReLU(nn.Module):
    """``x`` above zero, ``weight x`` below; `torch.nn.PReLU` has one slope a channel, second of the axes.

    Args:
        shape: of the slopes: the input's without N, and 1 along the axes that share a slope.
        channels_first: whether the last of these axes is the first behind N.
    """

    def __init__(self, shape: Sequence[int], *, channels_first: bool = False) -> None:
        super().__init__()
        self.channels_first = channels_first
        self.weight = nn.Parameter(torch.full(tuple(shape), 0.25))

    def forward(self, x: Tensor) -> Tensor:
        """``(N, ...)``.

        Raises:
            LayerInputError: the slopes do not go with the input.
        """
        weight = self.weight.movedim(-1, 0) if self.channels_first else self.weight
        fits = x.dim() == weight.dim() + 1
        if fits:
            for own, size in zip(weight.shape, x.shape[1:]):  # noqa: B905  (TorchScript knows no strict)
                fits = fits and (own == 1 or own == size)
        if not fits:
            shapes = f"{list(weight.shape)} do not go with {list(x.shape)}"
            raise LayerInputError(f"slopes of shape {shapes}")
        return torch.where(x > 0, x, weight * x)

    def extra_repr(self) -> str:
        """The settings, for ``print``."""
        more = ", channels_first=True" if self.channels_first else ""
        return f"{tuple(self.weight.shape)}{more}"


class Softmax(nn.Module):
    """``exp(x)`` over its sum along several axes at once, or over the valid elements under a mask.

    `torch.nn.Softmax` is for one axis without a mask.

    Args:
        dim: one axis or several.
    """

    def __init__(self, dim: int | tuple[int, ...] = -1) -> None:
        super().__init__()
        self.dim = dim
        self.axes = [dim] if isinstance(dim, int) else list(dim)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Any shape; with a mask of the same shape, zero where that is false.

        Raises:
            LayerInputError: the mask is not boolean or has another shape.
        """
        if not x.numel():
            return x
        if mask is None:
            return self.softmax(x)
        if mask.dtype != torch.bool or mask.shape != x.shape:
            shown = f"{mask.dtype} {list(mask.shape)}"
            raise LayerInputError(
                f"the mask should be torch.bool {list(x.shape)}, found {shown}"
            )
        return self.softmax(x.masked_fill(~mask, lowest(x, -1e9))).masked_fill(~mask, 0)

    def softmax(self, x: Tensor) -> Tensor:
        """What `forward` gives without a mask."""
        if len(self.axes) == 1:
            return torch.softmax(x, self.axes[0])
        return (x - x.logsumexp(self.axes, keepdim=True)).exp()

    def extra_repr(self) -> str:
        """The settings, for ``print``."""
        return f"dim={self.dim}"
