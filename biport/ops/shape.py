"""The same numbers in another shape or order: reshaped, permuted, repeated, padded, cropped.

A size made of one that varies says how: ``T+2``, ``(T*5)//2``. Two sizes are written alike only where they
are always equal; in an ONNX file that is a promise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, final

from biport.dims import length, product, quotient
from biport.errors import GraphError
from biport.ops.base import Locality, Op
from biport.ops.checks import check_choice, check_sizes, need, take
from biport.ops.tensor import FLOATS, Tensor
from biport.ops.windows import Pairs, pairs, per_axis

MAX_RANK = 32
"""Dimensions of an array; numpy itself has had no more for long."""


class Moved(Op):
    """A layer that moves numbers and makes none but zeros; not an op by itself."""

    moves: ClassVar[bool] = True


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Reshape(Moved):
    """``(N, ...)`` to ``(N, *target_shape)``, row by row.

    Args:
        target_shape: sizes; one of them may be -1, which is whatever is left.
    """

    target_shape: tuple[int, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "target_shape", tuple(self.target_shape))
        if len(self.target_shape) > MAX_RANK:
            raise GraphError(f"Reshape: at most {MAX_RANK} sizes, found {len(self.target_shape)}")
        known = [size for size in self.target_shape if size != -1]
        check_sizes(self.kind, **{f"target_shape[{position}]": size for position, size in enumerate(known)})
        if len(self.target_shape) - len(known) > 1:
            raise GraphError(f"Reshape: more than one -1 in target_shape {self.target_shape}")

    def infer(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        (x,) = take(self, inputs, 1)
        if not x.shape:
            raise GraphError(f"Reshape takes one or more dimensions, found {x}")
        known = [size for size in self.target_shape if size != -1]
        total, part = product(x.shape[1:]), product(known)
        left = quotient(total, part)
        # That a number which varies goes into the sizes is the caller's promise.
        whole = not isinstance(total, int) or (left is not None if -1 in self.target_shape else left == 1)
        if not whole:
            raise GraphError(f"Reshape: {x} does not go into (N, {', '.join(map(str, self.target_shape))})")
        left = total // part if left is None else left
        return (Tensor((x.shape[0], *(left if n == -1 else n for n in self.target_shape)), x.dtype),)


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Flatten(Moved):
    """``(N, ...)`` to ``(N, O)``, row by row."""

    def infer(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        (x,) = take(self, inputs, 1)
        if len(x.shape) < 2:
            raise GraphError(f"Flatten takes two or more dimensions, found {x}")
        return (Tensor((x.shape[0], product(x.shape[1:])), x.dtype),)


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Permute(Moved):
    """Axes in another order.

    Args:
        dims: for each axis of the output behind the batch, the input's; the first one is 1.
    """

    dims: tuple[int, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "dims", tuple(self.dims))
        if not self.dims or sorted(self.dims) != list(range(1, len(self.dims) + 1)):
            raise GraphError(f"Permute: dims should be 1 to the rank in some order, found {self.dims}")

    def infer(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        (x,) = take(self, inputs, 1)
        if len(x.shape) != len(self.dims) + 1:
            raise GraphError(f"Permute of {len(self.dims)} dims takes one more dimension, found {x}")
        return (Tensor((x.shape[0], *(x.shape[dim] for dim in self.dims)), x.dtype),)


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class RepeatVector(Moved):
    """``(N, I)`` to ``(N, n, I)``: the same vector at every step."""

    n: int

    def __post_init__(self) -> None:
        check_sizes(self.kind, n=self.n)

    def infer(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        (x,) = take(self, inputs, 1)
        need(self, x, 2, FLOATS)
        return (Tensor((x.shape[0], self.n, x.shape[1]), x.dtype),)

    def locality(self, inputs: Sequence[Tensor]) -> Locality:
        return Locality.EVERY_FEATURE


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class ZeroPadding(Moved):
    """Zeros before and behind ``(N, *T, I)`` along each axis; not an op by itself.

    Args:
        padding: how many before, how many behind, for each axis; of one axis the two numbers alone will do.
    """

    dimensions: ClassVar[int]
    """How many axes there are between batch and features."""

    padding: Pairs

    def __post_init__(self) -> None:
        object.__setattr__(self, "padding", pairs(self.kind, "padding", self.padding, self.dimensions))

    def infer(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        (x,) = take(self, inputs, 1)
        need(self, x, 2 + self.dimensions, FLOATS)
        sizes = [size + sum(pair) for size, pair in zip(x.shape[1:-1], self.padding, strict=True)]
        return (Tensor((x.shape[0], *sizes, x.shape[-1]), x.dtype),)

    def locality(self, inputs: Sequence[Tensor]) -> Locality:
        return Locality.EVERY_FEATURE


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Cropping(Moved):
    """``(N, *T, I)`` without its first and last elements along each axis; not an op by itself.

    Nothing is left along an axis that has no more than these.

    Args:
        cropping: how many of the first, how many of the last, for each axis; of one axis the two numbers
            alone will do.
    """

    dimensions: ClassVar[int]
    """How many axes there are between batch and features."""

    cropping: Pairs

    def __post_init__(self) -> None:
        object.__setattr__(self, "cropping", pairs(self.kind, "cropping", self.cropping, self.dimensions))

    def infer(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        (x,) = take(self, inputs, 1)
        need(self, x, 2 + self.dimensions, FLOATS)
        sizes = [length(size - sum(pair)) for size, pair in zip(x.shape[1:-1], self.cropping, strict=True)]
        return (Tensor((x.shape[0], *sizes, x.shape[-1]), x.dtype),)

    def locality(self, inputs: Sequence[Tensor]) -> Locality:
        return Locality.EVERY_FEATURE


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class UpSampling(Op):
    """``(N, *T, I)`` made longer along each axis; not an op by itself.

    Args:
        size: how many elements one becomes, for each axis.
    """

    dimensions: ClassVar[int]
    """How many axes there are between batch and features."""

    size: tuple[int, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", per_axis(self.kind, "size", self.size, self.dimensions))

    def infer(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        (x,) = take(self, inputs, 1)
        need(self, x, 2 + self.dimensions, FLOATS)
        sizes = [size * times for size, times in zip(x.shape[1:-1], self.size, strict=True)]
        return (Tensor((x.shape[0], *sizes, x.shape[-1]), x.dtype),)

    def locality(self, inputs: Sequence[Tensor]) -> Locality:
        return Locality.EVERY_FEATURE


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class ZeroPadding1D(ZeroPadding):
    """Steps of zeros around ``(N, T, I)``, see `ZeroPadding`."""

    dimensions: ClassVar[int] = 1


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class ZeroPadding2D(ZeroPadding):
    """Rows and columns of zeros around ``(N, H, W, I)``, see `ZeroPadding`."""

    dimensions: ClassVar[int] = 2


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class ZeroPadding3D(ZeroPadding):
    """Planes, rows and columns of zeros around ``(N, D, H, W, I)``, see `ZeroPadding`."""

    dimensions: ClassVar[int] = 3


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Cropping1D(Cropping):
    """``(N, T, I)`` without its first and last steps, see `Cropping`."""

    dimensions: ClassVar[int] = 1


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Cropping2D(Cropping):
    """``(N, H, W, I)`` without its first and last rows and columns, see `Cropping`."""

    dimensions: ClassVar[int] = 2


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Cropping3D(Cropping):
    """``(N, D, H, W, I)`` without its first and last planes, rows and columns, see `Cropping`."""

    dimensions: ClassVar[int] = 3


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class UpSampling1D(UpSampling):
    """Every step of ``(N, T, I)`` ``size`` times, one after the other."""

    dimensions: ClassVar[int] = 1
    moves: ClassVar[bool] = True


INTERPOLATIONS = ("nearest", "bilinear")


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class UpSampling2D(UpSampling):
    """``(N, H, W, I)`` to ``(N, H · size, W · size, I)``.

    Args:
        size: how many elements one becomes, along H and W.
        interpolation: ``"nearest"``, each that many times; or ``"bilinear"``, between the two that are beside
            an element's centre along each axis, ``(i + 1/2) / size - 1/2``, at the edges the outermost;
            torch ``align_corners=False``.
    """

    dimensions: ClassVar[int] = 2
    moves: ClassVar[bool] = False

    interpolation: str = "nearest"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice(self.kind, "interpolation", self.interpolation, INTERPOLATIONS)


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class UpSampling3D(UpSampling):
    """Every element of ``(N, D, H, W, I)`` ``size`` times along each axis."""

    dimensions: ClassVar[int] = 3
    moves: ClassVar[bool] = True


ZERO_PADDINGS: Mapping[int, type[ZeroPadding]] = {1: ZeroPadding1D, 2: ZeroPadding2D, 3: ZeroPadding3D}
"""By the number of axes."""

CROPPINGS: Mapping[int, type[Cropping]] = {1: Cropping1D, 2: Cropping2D, 3: Cropping3D}
"""By the number of axes."""

UP_SAMPLINGS: Mapping[int, type[UpSampling]] = {1: UpSampling1D, 2: UpSampling2D, 3: UpSampling3D}
"""By the number of axes."""
