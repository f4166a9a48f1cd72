"""Convolutions over one axis, two or three, which lie between the batch and the features."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from biport.dims import Dim, length
from biport.errors import GraphError
from biport.ops.activation import ACTIVATIONS
from biport.ops.base import Op, parameter
from biport.ops.checks import TooShortError, check_array, check_choice, check_sizes, floats, need, take
from biport.ops.tensor import Tensor
from biport.ops.windows import AXES, Padding, Pairs, checked_padding, extent, per_axis, window_counts

PADDINGS = ("valid", "same", "causal")


class Convolving(Op):
    """An op with a kernel over some axes; not an op by itself."""

    dimensions: ClassVar[int]
    """Over how many axes."""

    input_size: int
    output_size: int
    kernel_size: tuple[int, ...]
    strides: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int
    activation: str
    weight: np.ndarray
    bias: np.ndarray | None

    @property
    def spans(self) -> tuple[int, ...]:
        """How many elements a kernel reaches over along each axis."""
        axes = zip(self.kernel_size, self.dilation, strict=True)
        return tuple((size - 1) * dilation + 1 for size, dilation in axes)

    def _check(self, weight: tuple[int, int]) -> None:
        """Refuse settings and weights that do not suit each other; ``weight`` is its shape but for K."""
        for name in ("kernel_size", "strides", "dilation"):
            value = per_axis(self.kind, name, getattr(self, name), self.dimensions)
            object.__setattr__(self, name, value)
        check_choice(self.kind, "activation", self.activation, ACTIVATIONS)
        check_array(self.kind, "weight", self.weight, (*weight, *self.kernel_size), None)
        if self.bias is not None:
            check_array(self.kind, "bias", self.bias, (self.output_size,), self.dtype)

    def _check_groups(self) -> None:
        names = ("input_size", "output_size", "groups")
        check_sizes(self.kind, **{name: getattr(self, name) for name in names})
        if self.input_size % self.groups or self.output_size % self.groups:
            raise GraphError(f"{self.kind}: {self.groups} groups do not divide the features")


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Convolution(Convolving):
    """``activation(b + Σ_k W_k x[t · strides + k · dilation])``, ``(N, *T, I)`` to ``(N, *T', O)``.

    Over too few steps for one window the convolution is not defined: that input is refused. It is no op by
    itself: `Conv1D`, `Conv2D` and `Conv3D` are. Where a setting has a number for each axis, a single one is
    meant for all of them.

    Args:
        input_size: I.
        output_size: O; Keras ``filters``.
        kernel_size: K, one for each axis.
        strides: steps from one window to the next along each axis.
        padding: ``"valid"``, none; ``"same"``, zeros on both sides so that T' = ⌈T / strides⌉, one more at
            the end where they are odd, as many as T asks for; ``"causal"`` of one axis, zeros in front, so
            that no step sees a later one; or how many zeros before and behind along each axis.
        dilation: steps from one weight to the next along each axis; Keras ``dilation_rate``.
        groups: G; each of G parts of the features is convolved by itself. With G = I it is Keras'
            ``DepthwiseConv1D`` or ``DepthwiseConv2D``.
        activation: one of `ACTIVATIONS`.
        weight: ``(O, I / G, *K)``.
        bias: ``(O,)`` or ``None``.
    """

    input_size: int
    output_size: int
    kernel_size: tuple[int, ...]
    strides: tuple[int, ...] = (1,)
    padding: Padding = "valid"
    dilation: tuple[int, ...] = (1,)
    groups: int = 1
    activation: str = "linear"
    weight: np.ndarray = parameter()
    bias: np.ndarray | None = parameter()

    def __post_init__(self) -> None:
        self._check_groups()
        words = PADDINGS if self.dimensions == 1 else PADDINGS[:2]
        padding = checked_padding(self.kind, self.padding, words, self.dimensions)
        object.__setattr__(self, "padding", padding)
        self._check((self.output_size, self.input_size // self.groups))

    def infer(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        (x,) = take(self, inputs, 1)
        need(self, x, 2 + self.dimensions, floats(self), self.input_size)
        steps = window_counts(self, x.shape[1:-1], self.spans, self.strides, self.padding)
        return (Tensor((x.shape[0], *steps, self.output_size), x.dtype),)

    def sum_length(self, inputs: Sequence[Tensor]) -> int:
        return math.prod(self.kernel_size) * self.input_size // self.groups


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Conv1D(Convolution):
    """A convolution of ``(N, T, I)`` over time, see `Convolution`; torch ``nn.Conv1d``."""

    dimensions: ClassVar[int] = 1


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Conv2D(Convolution):
    """A convolution of ``(N, H, W, I)``, see `Convolution`; torch ``nn.Conv2d`` over ``(N, I, H, W)``."""

    dimensions: ClassVar[int] = 2

    strides: tuple[int, ...] = (1, 1)
    dilation: tuple[int, ...] = (1, 1)


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Conv3D(Convolution):
    """A convolution of ``(N, D, H, W, I)``, see `Convolution`; torch ``nn.Conv3d``."""

    dimensions: ClassVar[int] = 3

    strides: tuple[int, ...] = (1, 1, 1)
    dilation: tuple[int, ...] = (1, 1, 1)


CONVOLUTIONS: Mapping[int, type[Convolution]] = {1: Conv1D, 2: Conv2D, 3: Conv3D}
"""By the number of axes."""


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class SeparableConvolution(Op):
    """A convolution of each feature by itself, and one of all features at each position by itself.

    Args:
        depthwise: I groups of one feature, to I · M features; linear, without bias.
        pointwise: a kernel of 1 along each axis, with the bias and the activation.
    """

    dimensions: ClassVar[int]

    depthwise: Convolution
    pointwise: Convolution

    def __post_init__(self) -> None:
        kind = CONVOLUTIONS[self.dimensions]
        for name in ("depthwise", "pointwise"):
            if not isinstance(getattr(self, name), kind):
                raise GraphError(f"{self.kind}: {name} should be a {kind.__name__}")
        first, second = self.depthwise, self.pointwise
        if first.groups != first.input_size or first.bias is not None or first.activation != "linear":
            raise GraphError(f"{self.kind}: depthwise should be linear, of one feature a group, without bias")
        ones = (1,) * self.dimensions
        if (second.kernel_size, second.strides, second.groups, second.padding) != (ones, ones, 1, "valid"):
            raise GraphError(f"{self.kind}: pointwise should have a kernel of 1 and nothing else")
        if first.dtype != second.dtype:
            raise GraphError(f"{self.kind}: depthwise and pointwise should be of one dtype")

    def infer(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        return self.pointwise.infer(self.depthwise.infer(inputs))

    def sum_length(self, inputs: Sequence[Tensor]) -> int:
        return max(part.sum_length(inputs) for part in (self.depthwise, self.pointwise))


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class SeparableConv1D(SeparableConvolution):
    """`Conv1D` of each feature, then of all: ``(N, T, I)`` to ``(N, T', O)``."""

    dimensions: ClassVar[int] = 1


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class SeparableConv2D(SeparableConvolution):
    """`Conv2D` of each feature, then of all: ``(N, H, W, I)`` to ``(N, H', W', O)``."""

    dimensions: ClassVar[int] = 2


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class TransposedConvolution(Convolving):
    """What makes the input of a convolution out of its output: ``(N, *T, I)`` to ``(N, *T', O)``.

    ``y[t · strides + k · dilation - before] += Wᵀ_k x[t]`` for every t and k, plus the bias, and the
    activation of that. It is no op by itself: `Conv1DTranspose`, `Conv2DTranspose` and `Conv3DTranspose` are.

    Args:
        input_size: I.
        output_size: O; Keras ``filters``.
        kernel_size: K, one for each axis.
        strides: steps from what one element makes to what the next one does.
        cropping: along each axis, how much of the ``(T - 1) · strides + span`` elements is cut off before
            and behind. Less than nothing behind are elements that no x reaches. Keras' ``"valid"`` cuts
            ``(0, min(span - strides, 0))``, its ``"same"`` ``max(span - strides, 0) // 2`` before, and behind
            what is left over T · strides; torch cuts ``(padding, padding - output_padding)``.
        dilation: steps from one weight to the next along each axis.
        groups: G; each of G parts of the features is by itself.
        activation: one of `ACTIVATIONS`.
        weight: ``(I, O / G, *K)``, as torch has it.
        bias: ``(O,)`` or ``None``.
    """

    input_size: int
    output_size: int
    kernel_size: tuple[int, ...]
    strides: tuple[int, ...]
    cropping: Pairs
    dilation: tuple[int, ...]
    groups: int = 1
    activation: str = "linear"
    weight: np.ndarray = parameter()
    bias: np.ndarray | None = parameter()

    def __post_init__(self) -> None:
        self._check_groups()
        self._check((self.input_size, self.output_size // self.groups))
        given = self.cropping if isinstance(self.cropping, list | tuple) else ()
        cropping = tuple(tuple(pair) for pair in given if isinstance(pair, list | tuple))
        if len(cropping) != self.dimensions or not all(map(_is_cropping, cropping)):
            wanted = f"{self.dimensions} pairs of integers, the first of each 0 or more"
            raise GraphError(f"{self.kind}: cropping should be {wanted}, found {self.cropping!r}")
        object.__setattr__(self, "cropping", cropping)

    def infer(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        (x,) = take(self, inputs, 1)
        need(self, x, 2 + self.dimensions, floats(self), self.input_size)
        sizes, names = x.shape[1:-1], AXES[self.dimensions]
        axes = zip(sizes, self.strides, self.spans, self.cropping, names, strict=True)
        steps = [self._steps(*along) for along in axes]
        return (Tensor((x.shape[0], *steps, self.output_size), x.dtype),)

    def _steps(self, steps: Dim, stride: int, span: int, cropping: tuple[int, int], axis: str) -> Dim:
        after = (steps - 1) * stride + span - sum(cropping)
        if isinstance(steps, int) and isinstance(after, int) and (steps < 1 or after < 1):
            raise TooShortError(f"{self.kind} makes nothing of {extent(axis, steps)}", axis)
        return length(after)

    def sum_length(self, inputs: Sequence[Tensor]) -> int:
        axes = zip(self.kernel_size, self.strides, self.dilation, strict=True)
        # Of the K weights every (strides / gcd)-th falls onto one and the same element.
        meeting = math.prod(-(-size // (step // math.gcd(step, apart))) for size, step, apart in axes)
        return meeting * self.input_size // self.groups


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Conv1DTranspose(TransposedConvolution):
    """Over ``(N, T, I)``, see `TransposedConvolution`; torch ``nn.ConvTranspose1d``."""

    dimensions: ClassVar[int] = 1


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Conv2DTranspose(TransposedConvolution):
    """Over ``(N, H, W, I)``, see `TransposedConvolution`; torch ``nn.ConvTranspose2d``."""

    dimensions: ClassVar[int] = 2


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Conv3DTranspose(TransposedConvolution):
    """Over ``(N, D, H, W, I)``, see `TransposedConvolution`; torch ``nn.ConvTranspose3d``."""

    dimensions: ClassVar[int] = 3


TRANSPOSED: Mapping[int, type[TransposedConvolution]] = {
    1: Conv1DTranspose,
    2: Conv2DTranspose,
    3: Conv3DTranspose,
}
"""By the number of axes."""


def _is_cropping(pair: Sequence[object]) -> bool:
    whole = all(isinstance(number, int) and not isinstance(number, bool) for number in pair)
    return len(pair) == 2 and whole and isinstance(pair[0], int) and pair[0] >= 0
