"""Where masks come from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from biport.errors import GraphError
from biport.ops.base import Locality, Op
from biport.ops.checks import broadcast, check_number, need, take
from biport.ops.tensor import FLOATS, INTEGERS, Tensor


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class NotEqual(Op):
    """``ids != value``: the mask of a padded batch, ``(N, T)`` integers to ``(N, T)`` booleans."""

    value: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.value, int) or isinstance(self.value, bool):
            raise GraphError(f"NotEqual: value should be an integer, found {self.value!r}")

    def infer(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        (ids,) = take(self, inputs, 1)
        need(self, ids, 2, INTEGERS)
        return (Tensor(ids.shape, "bool"),)

    def locality(self, inputs: Sequence[Tensor]) -> Locality:
        return Locality.ELEMENT


class Joined(Op):
    """Two or more masks ``(N, T)``, step by step; not an op by itself."""

    def infer(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        if len(inputs) < 2:
            raise GraphError(f"{self.kind} takes two or more inputs, found {len(inputs)}")
        for mask in inputs:
            need(self, mask, 2, ("bool",))
        return (Tensor(broadcast(self, inputs), "bool"),)

    def locality(self, inputs: Sequence[Tensor]) -> Locality:
        return Locality.ELEMENT


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class LogicalAnd(Joined):
    """A step is valid where it is valid in all of the masks: ``(N, T)`` booleans, two or more.

    A mask of one step counts for every step of the others.
    """


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class LogicalOr(Joined):
    """A step is valid where it is valid in any of the masks: ``(N, T)`` booleans, two or more.

    A mask of one step counts for every step of the others.
    """


def check_mask_value(op: Op, value: float) -> None:
    """Refuse a number that float32 rounds: whether a step is masked would depend on the dtype."""
    check_number(op.kind, "value", value)
    if float(np.float32(value)) != value:
        raise GraphError(f"{op.kind}: value should be a number float32 holds exactly, found {value!r}")


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class OnesLike(Op):
    """The mask in which every step of ``(N, T, ...)`` is valid: ``(N, T)``, all true."""

    def infer(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        (x,) = take(self, inputs, 1)
        if len(x.shape) < 2:
            raise GraphError(f"{self.kind} takes two or more dimensions, found {x}")
        return (Tensor(x.shape[:2], "bool"),)

    def locality(self, inputs: Sequence[Tensor]) -> Locality:
        return Locality.EVERY_STEP


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Masking(Op):
    """``x`` with zeros where a step's features are all ``mask_value``; ``(..., I)``.

    The mask it gives rise to is a `FeaturesNotEqual` node of its own.
    """

    mask_value: float = 0.0

    def __post_init__(self) -> None:
        check_mask_value(self, self.mask_value)

    def infer(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        (x,) = take(self, inputs, 1)
        need(self, x, None, FLOATS)
        if len(x.shape) < 2:
            raise GraphError(f"Masking takes two or more dimensions, found {x}")
        return (x,)

    def locality(self, inputs: Sequence[Tensor]) -> Locality:
        # Zeros in place of zeros: it does nothing.
        return Locality.along(len(inputs[0].shape), mixed=[-1] if self.mask_value else [])


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class FeaturesNotEqual(Op):
    """The mask of a Keras `Masking`: where any feature of ``(N, T, I)`` is not ``value``, ``(N, T)``."""

    value: float = 0.0

    def __post_init__(self) -> None:
        check_mask_value(self, self.value)

    def infer(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        (x,) = take(self, inputs, 1)
        need(self, x, 3, FLOATS)
        return (Tensor(x.shape[:2], "bool"),)

    def locality(self, inputs: Sequence[Tensor]) -> Locality:
        return Locality.EVERY_STEP
