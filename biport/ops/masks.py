"""Where masks come from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from biport.errors import GraphError
from biport.ops.base import INTEGERS, Op, Tensor, broadcast, need, take


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


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class LogicalOr(Op):
    """A step is valid where it is valid in any of the masks: ``(N, T)`` booleans, two or more.

    A mask of one step counts for every step of the others.
    """

    def infer(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        if len(inputs) < 2:
            raise GraphError(f"LogicalOr takes two or more inputs, found {len(inputs)}")
        for mask in inputs:
            need(self, mask, 2, ("bool",))
        return (Tensor(broadcast(self, inputs), "bool"),)


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class OnesLike(Op):
    """The mask in which every step of ``(N, T, ...)`` is valid: ``(N, T)``, all true."""

    def infer(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        (x,) = take(self, inputs, 1)
        if len(x.shape) < 2:
            raise GraphError(f"{self.kind} takes two or more dimensions, found {x}")
        return (Tensor(x.shape[:2], "bool"),)
