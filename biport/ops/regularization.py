"""What does nothing at inference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, final

from biport.errors import GraphError
from biport.ops.base import Locality, Op
from biport.ops.checks import check_number, need, take
from biport.ops.tensor import FLOATS, Tensor


class Regularizer(Op):
    """An op that acts in training alone, on floats of any shape; not an op by itself."""

    training: ClassVar[Sequence[str]] = ("rate", "stddev", "l1", "l2")

    def infer(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        (x,) = take(self, inputs, 1)
        need(self, x, None, FLOATS)
        return (x,)

    @property
    def identity(self) -> bool:
        """Always."""
        return True

    def locality(self, inputs: Sequence[Tensor]) -> Locality:
        return Locality.ELEMENT


def check_rate(op: Op, rate: float, name: str = "rate") -> None:
    """Refuse a share that is none."""
    if not 0 <= rate <= 1:
        raise GraphError(f"{op.kind}: {name} should be in [0, 1], found {rate!r}")


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Dropout(Regularizer):
    """Nothing at inference; in training drops a share ``rate`` of the elements and scales up the rest."""

    rate: float

    def __post_init__(self) -> None:
        check_rate(self, self.rate)


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class SpatialDropout(Regularizer):
    """Nothing at inference; in training drops whole features of ``(N, *T, I)``, everywhere in a row.

    It is no op by itself.

    Args:
        rate: the share that is dropped.
    """

    dimensions: ClassVar[int]
    """How many axes there are between batch and features."""

    rate: float

    def __post_init__(self) -> None:
        check_rate(self, self.rate)

    def infer(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        (x,) = take(self, inputs, 1)
        need(self, x, 2 + self.dimensions, FLOATS)
        return (x,)


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class SpatialDropout1D(SpatialDropout):
    """Nothing at inference; in training drops whole features of ``(N, T, I)``, the same at every step."""

    dimensions: ClassVar[int] = 1


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class SpatialDropout2D(SpatialDropout):
    """Nothing at inference; in training drops whole features of ``(N, H, W, I)``."""

    dimensions: ClassVar[int] = 2


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class SpatialDropout3D(SpatialDropout):
    """Nothing at inference; in training drops whole features of ``(N, D, H, W, I)``."""

    dimensions: ClassVar[int] = 3


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class GaussianNoise(Regularizer):
    """Nothing at inference; in training adds normal noise of the deviation ``stddev``, in [0, 1]."""

    stddev: float

    def __post_init__(self) -> None:
        check_rate(self, self.stddev)


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class GaussianDropout(Regularizer):
    """Nothing at inference; in training multiplies by noise of mean 1 and variance ``rate / (1 - rate)``."""

    rate: float

    def __post_init__(self) -> None:
        check_rate(self, self.rate)


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class AlphaDropout(Regularizer):
    """Nothing at inference; in training drops to SELU's lower bound and keeps mean and variance."""

    rate: float

    def __post_init__(self) -> None:
        check_rate(self, self.rate)


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Identity(Regularizer):
    """Nothing, any dtype: a name for a value."""

    def infer(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        (x,) = take(self, inputs, 1)
        return (x,)


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class ActivityRegularization(Regularizer):
    """Nothing at inference; in training Keras adds ``l1 Σ|x| + l2 Σx²`` to the loss."""

    l1: float = 0.0
    l2: float = 0.0

    def __post_init__(self) -> None:
        check_number(self.kind, "l1", self.l1)
        check_number(self.kind, "l2", self.l2)
