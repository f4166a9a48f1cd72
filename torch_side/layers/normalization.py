"""Normalisation along axes that torch's own layers do not take, or by other rules."""

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
        frozen: whether training computes with the statistics that are kept, too, and leaves them as they are.
    """

    def __init__(
        self,
        num_features: int,
        *,
        axis: int = -1,
        eps: float = 1e-5,
        momentum: float = 0.1,
        frozen: bool = False,
    ) -> None:
        super().__init__(num_features, eps, momentum)
        self.axis = axis
        self.frozen = frozen

    def forward(self, input: Tensor) -> Tensor:
        """Any shape with I along ``axis``; the same shape."""
        training = self.training and not self.frozen
        if training and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
        y = functional.batch_norm(
            input.movedim(self.axis, 1),
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            training,
            0.0 if self.momentum is None else self.momentum,
            self.eps,
        )
        return y.movedim(1, self.axis)

    def extra_repr(self) -> str:
        """The settings, for ``print``."""
        return f"{super().extra_repr()}, axis={self.axis}" + (
            ", frozen=True" if self.frozen else ""
        )


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
        self.ends = list(range(-len(self.axes), 0))
        self.eps = eps
        self.rms_scaling = rms_scaling
        self.weight = nn.Parameter(torch.ones(*shape)) if weight else None
        self.bias = nn.Parameter(torch.zeros(*shape)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """Any shape; the same shape."""
        moved = x.movedim(self.axes, self.ends)
        if self.rms_scaling:
            variance = moved.var(self.ends, correction=0, keepdim=True)
            y = moved * torch.rsqrt(variance + self.eps)
            y = y if self.weight is None else y * self.weight
        else:
            sizes = moved.shape[-len(self.ends) :]
            y = functional.layer_norm(moved, sizes, self.weight, self.bias, self.eps)
        return y.movedim(self.ends, self.axes)

    def extra_repr(self) -> str:
        """The settings, for ``print``."""
        return f"axes={self.axes}, eps={self.eps}" + (
            ", rms_scaling=True" if self.rms_scaling else ""
        )


class GroupNormalization(nn.GroupNorm):
    """`torch.nn.GroupNorm` along any axis but the batch, of groups of a single number too.

    Args:
        num_groups: how many groups the size along ``axis`` falls into.
        num_channels: that size.
        axis: along which the groups lie.
        eps: what keeps the root away from zero.
    """

    def __init__(
        self, num_groups: int, num_channels: int, *, axis: int = -1, eps: float = 1e-3
    ) -> None:
        super().__init__(num_groups, num_channels, eps)
        self.axis = axis

    def forward(self, input: Tensor) -> Tensor:
        """Any shape with the channels along ``axis``; the same shape."""
        # Not torch.nn.functional.group_norm, which refuses a group of one number. And with one of weight and
        # bias alone torch 2.13 has no gradients, or ends the process, so that they come behind it.
        moved = torch.group_norm(
            input.movedim(self.axis, 1), self.num_groups, eps=self.eps
        ).movedim(1, -1)
        if self.weight is not None:
            moved = moved * self.weight
        if self.bias is not None:
            moved = moved + self.bias
        return moved.movedim(-1, self.axis)

    def extra_repr(self) -> str:
        """The settings, for ``print``."""
        return f"{super().extra_repr()}, axis={self.axis}"


class Normalization(nn.Module):
    """``(x - mean) / s``, or with ``invert`` ``mean + x · s``, where ``s = max(√variance, 1e-7)``.

    Args:
        axes: along which every element has numbers of its own.
        invert: whether it takes back what it does.
        shape: of mean and variance: the sizes along the last of ``axes``, or 1, which stretches.
    """

    mean: Tensor
    variance: Tensor

    def __init__(
        self,
        axes: Sequence[int] = (-1,),
        *,
        invert: bool = False,
        shape: Sequence[int] = (),
    ) -> None:
        super().__init__()
        self.axes = tuple(axes)
        self.invert = invert
        self.register_buffer("mean", torch.zeros(tuple(shape)))
        self.register_buffer("variance", torch.ones(tuple(shape)))

    def forward(self, x: Tensor) -> Tensor:
        """Any shape; the same shape."""
        mean = self.wide(self.mean, x)
        deviation = self.wide(self.variance, x).sqrt().clamp(1e-7)
        return mean + x * deviation if self.invert else (x - mean) / deviation

    def wide(self, numbers: Tensor, x: Tensor) -> Tensor:
        """The numbers along their axes of ``x``."""
        sizes = [1] * x.dim()
        at = numbers.dim() - len(self.axes)
        for axis in self.axes:
            if at >= 0:
                sizes[axis] = numbers.shape[at]
            at += 1
        return numbers.reshape(sizes)

    def extra_repr(self) -> str:
        """The settings, for ``print``."""
        return f"axes={self.axes}" + (", invert=True" if self.invert else "")


def numbers(given: float | Sequence[float]) -> list[float]:
    """One number or several as a list."""
    return (
        [float(given)]
        if isinstance(given, int | float)
        else [float(number) for number in given]
    )


class Rescaling(nn.Module):
    """``x · scale + offset``.

    Args:
        scale: one number, or one for each of the last dimension.
        offset: likewise.
    """

    def __init__(
        self, scale: float | Sequence[float], offset: float | Sequence[float] = 0.0
    ) -> None:
        super().__init__()
        self.scale = scale
        self.offset = offset
        self.scales = numbers(scale)
        self.offsets = numbers(offset)

    def forward(self, x: Tensor) -> Tensor:
        """Any shape; the same shape."""
        scale = torch.tensor(self.scales, dtype=x.dtype, device=x.device)
        offset = torch.tensor(self.offsets, dtype=x.dtype, device=x.device)
        return x * scale + offset

    def extra_repr(self) -> str:
        """The settings, for ``print``."""
        return f"scale={self.scale}, offset={self.offset}"
