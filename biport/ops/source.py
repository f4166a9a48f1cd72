"""Tensor operations without inputs: constants, trainable parameters, counts, sizes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from biport.dims import Dim, length, longest, shortest, size, sizes
from biport.errors import GraphError, WeightError
from biport.ops.base import TensorOperation, parameter
from biport.ops.checks import check_array, check_choice, take
from biport.ops.tensor import EVERY_DTYPE, INTEGERS, NUMBERS, Tensor


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Constant(TensorOperation):
    """An array that is part of the program: it is not trained and counts as no parameter.

    Args:
        value: of any shape; floats may be infinite, not NaN.

    Example:
        >>> Constant(value=np.float32([1, 2])).infer([])[0]
        Tensor(shape=(2,), dtype='float32')
    """

    constants: ClassVar[Sequence[str]] = ("value",)

    value: np.ndarray = parameter()

    def __post_init__(self) -> None:
        object.__setattr__(self, "value", np.asarray(self.value))
        if self.value.dtype.name not in EVERY_DTYPE:
            raise WeightError(
                f"{self.kind}: value should be {' or '.join(EVERY_DTYPE)}, found {self.value.dtype}"
            )
        if np.isnan(self.value).any():
            raise WeightError(f"{self.kind}: value holds NaN")

    def infer(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        take(self, inputs, 0)
        return (Tensor(self.value.shape, self.value.dtype.name),)

    def may_be_nan(self, inputs: Sequence[Tensor], masked: bool) -> bool:
        return not np.isfinite(self.value).all()


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Parameter(TensorOperation):
    """A trainable array that belongs to no layer: torch's `nn.Parameter`, Keras' ``add_weight``.

    Args:
        value: floats of any shape.
        trainable: whether training changes it; one that it does not has its gradient all the same.
    """

    value: np.ndarray = parameter()
    trainable: bool = True

    def __post_init__(self) -> None:
        check_array(self.kind, "value", self.value, np.shape(self.value), None)

    def frozen_weights(self) -> frozenset[str]:
        """Its value, where it is not ``trainable``."""
        return super().frozen_weights() | (frozenset() if self.trainable else {"value"})

    def infer(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        take(self, inputs, 0)
        return (Tensor(self.value.shape, self.value.dtype.name),)


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Arange(TensorOperation):
    """The numbers from ``start`` up to ``stop``, which is not among them, ``step`` apart.

    Args:
        start: the first.
        stop: where they end; may be an expression of sizes, like ``start``.
        step: may be negative, not 0.
        output_dtype: of the numbers.

    Example:
        >>> Arange(stop="T").infer([])[0]
        Tensor(shape=(T,), dtype='int64')
    """

    start: Dim = 0
    stop: Dim
    step: int = 1
    output_dtype: str = "int64"

    def __post_init__(self) -> None:
        for name in ("start", "stop"):
            object.__setattr__(self, name, size(getattr(self, name)))
        if not isinstance(self.step, int) or not self.step:
            raise GraphError(f"{self.kind}: step should be a whole number other than 0, found {self.step!r}")
        check_choice(self.kind, "output_dtype", self.output_dtype, NUMBERS)

    @property
    def ends(self) -> tuple[Dim, Dim]:
        """``start``, and ``stop`` on the side of it that ``step`` goes to: some programs refuse another."""
        farther = longest if self.step > 0 else shortest
        return self.start, farther(self.start, self.stop)

    def infer(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        take(self, inputs, 0)
        span = self.stop - self.start if self.step > 0 else self.start - self.stop
        count = (length(span) + (abs(self.step) - 1)) // abs(self.step)
        return (Tensor((count,), self.output_dtype),)


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Full(TensorOperation):
    """One number everywhere: ``zeros``, ``ones``, and ``zeros_like`` of something whose shape is known.

    Args:
        shape: sizes.
        value: the number; 0 and 1 are false and true.
        output_dtype: its dtype.
    """

    shape: tuple[Dim, ...]
    value: float = 0.0
    output_dtype: str = "float32"

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", sizes(self.shape))
        if any(isinstance(dim, int) and (isinstance(dim, bool) or dim < 0) for dim in self.shape):
            raise GraphError(f"{self.kind}: sizes of 0 or more, found {self.shape}")
        if not isinstance(self.value, int | float) or isinstance(self.value, bool) or math.isnan(self.value):
            raise GraphError(f"{self.kind}: value should be a number, found {self.value!r}")
        check_choice(self.kind, "output_dtype", self.output_dtype, EVERY_DTYPE)

    def infer(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        take(self, inputs, 0)
        return (Tensor(self.shape, self.output_dtype),)

    def may_be_nan(self, inputs: Sequence[Tensor], masked: bool) -> bool:
        return not math.isfinite(self.value)


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class SizeOf(TensorOperation):
    """A size, or an expression of sizes, as an integer of the graph.

    Args:
        size: such as ``"T"``.
        output_dtype: int64 or int32.
    """

    size: Dim
    output_dtype: str = "int64"

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", size(self.size))
        check_choice(self.kind, "output_dtype", self.output_dtype, INTEGERS)

    def infer(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        take(self, inputs, 0)
        return (Tensor((), self.output_dtype),)
