"""Several values into one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from biport.errors import GraphError
from biport.ops.base import Dim, Op, Tensor, match_shapes


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Concatenate(Op):
    """Inputs side by side along ``axis``, which is not the batch; all other sizes are equal.

    Also joins masks along time (``axis=1``).
    """

    axis: int = -1

    def infer(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        if not inputs:
            raise GraphError(f"{self.kind} takes one or more inputs, found none")
        rank = len(inputs[0].shape)
        if not -rank <= self.axis < rank or self.axis % rank == 0:
            raise GraphError(f"{self.kind}: axis {self.axis} is the batch or outside of {inputs[0]}")
        axis = self.axis % rank
        match_shapes(self, inputs, axis)
        sizes = [tensor.shape[axis] for tensor in inputs]
        total: Dim = sum(size for size in sizes if isinstance(size, int))
        if any(isinstance(size, str) for size in sizes):
            total = sizes[0] if len(sizes) == 1 else "+".join(map(term, sizes))
        shape = inputs[0].shape
        return (Tensor((*shape[:axis], total, *shape[axis + 1 :]), inputs[0].dtype),)


def term(size: Dim) -> str:
    """A size as a part of a sum."""
    return str(size) if isinstance(size, int) or size.isidentifier() else f"({size})"
