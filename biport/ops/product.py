"""Tensor operations that multiply and add up: matrix products and what Einstein's notation says.

`MatMul` is that of the Python array API standard 2024.12; ``tensordot``, ``outer`` and ``bmm`` are read as
these two.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from biport.errors import GraphError
from biport.ops.base import Locality, TensorOperation
from biport.ops.checks import broadcast_shapes, need, take
from biport.ops.tensor import FLOATS, Dim, Tensor, fixed_size, same_dim


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class MatMul(TensorOperation):
    """``a @ b``: ``(..., S, I)`` and ``(..., I, O)`` to ``(..., S, O)``, the axes in front broadcast.

    A vector is a row on the left and a column on the right, and its axis is gone from the output.
    """

    def infer(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        a, b = take(self, inputs, 2)
        for x in (a, b):
            need(self, x, None, FLOATS)
        if not a.shape or not b.shape or a.dtype != b.dtype:
            raise GraphError(f"{self.kind}: {a} and {b} do not go together")
        summed = b.shape[0] if len(b.shape) == 1 else b.shape[-2]
        if not same_dim(a.shape[-1], summed):
            raise GraphError(f"{self.kind}: {a} and {b} do not go together")
        front = broadcast_shapes(self, [Tensor(x.shape[:-2], x.dtype) for x in (a, b)])
        rows, columns = a.shape[-2:-1], b.shape[-1:] if len(b.shape) > 1 else ()
        return (Tensor((*front, *rows, *columns), a.dtype),)

    def locality(self, inputs: Sequence[Tensor]) -> Locality:
        a, b = inputs
        # A matrix for all rows and steps alike, as a Dense has it.
        return Locality.EVERY_STEP if len(a.shape) > 2 and len(b.shape) <= 2 else Locality.NONE

    def sum_length(self, inputs: Sequence[Tensor]) -> int:
        a, b = (x.shape for x in inputs)
        return max(fixed_size(a[-1]), fixed_size(b[-2:][0]), 1)


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Einsum(TensorOperation):
    """Products of elements of the inputs, added up, as an equation says.

    Args:
        equation: a letter an axis, the output's behind an arrow: ``"nth,nsh->nts"``. An axis that the output
            does not have is summed over. No letter is there twice in one input, and there are no dots.

    Example:
        >>> scores = Einsum(equation="nth,nsh->nts")
        >>> scores.infer([Tensor(("N", "T", 4), "float32"), Tensor(("N", 5, 4), "float32")])[0]
        Tensor(shape=(N, T, 5), dtype='float32')
    """

    equation: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "equation", self.equation.replace(" ", ""))
        if not re.fullmatch(r"[A-Za-z]*(,[A-Za-z]*)*->[A-Za-z]*", self.equation):
            raise GraphError(f"{self.kind}: equation should be like 'nth,nsh->nts', found {self.equation!r}")
        for term in (*self.terms, self.output):
            if len(set(term)) < len(term):
                raise GraphError(f"{self.kind}: an axis twice in {term!r} of {self.equation!r}")
        if not set(self.output) <= set("".join(self.terms)):
            raise GraphError(f"{self.kind}: an axis of the output is in no input of {self.equation!r}")

    @property
    def terms(self) -> list[str]:
        """The axes of each input."""
        return self.equation.partition("->")[0].split(",")

    @property
    def output(self) -> str:
        """The axes of the output."""
        return self.equation.partition("->")[2]

    def infer(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        sizes = self._sizes(take(self, inputs, len(self.terms)))
        return (Tensor([sizes[axis] for axis in self.output], inputs[0].dtype),)

    def locality(self, inputs: Sequence[Tensor]) -> Locality:
        row, step, feature = self.output[:1], self.output[1:2], self.output[-1:]
        rank = max(map(len, self.terms))
        stepped = [term for term in self.terms if len(term) == rank]
        # As of a MatMul, what has no steps is at most a matrix for all of them.
        others = [term for term in self.terms if step not in term and len(term) < min(rank, 3)]
        local = Locality.NONE
        if not step or len(stepped) + len(others) < len(self.terms):
            return local
        if all(term[:2] == row + step for term in stepped):
            local |= Locality.EVERY_STEP
        if all(term[:1] == row for term in stepped) and all(term[-1:] == feature for term in self.terms):
            local |= Locality.EVERY_FEATURE
        return local

    def mixes_rows(self, inputs: Sequence[Tensor]) -> bool:
        of_rows = {
            term[0]
            for term, x in zip(self.terms, inputs, strict=True)
            if x.shape and not isinstance(x.shape[0], int)
        }
        return not of_rows <= set(self.output[:1])

    def _sizes(self, inputs: Sequence[Tensor]) -> dict[str, Dim]:
        sizes: dict[str, Dim] = {}
        for term, x in zip(self.terms, inputs, strict=True):
            need(self, x, len(term), FLOATS)
            if x.dtype != inputs[0].dtype:
                raise GraphError(f"{self.kind}: {inputs[0]} and {x} are of two dtypes")
            for axis, size in zip(term, x.shape, strict=True):
                if not same_dim(sizes.setdefault(axis, size), size):
                    raise GraphError(f"{self.kind}: {sizes[axis]} and {size} for {axis} of {self.equation!r}")
                if isinstance(size, int):
                    sizes[axis] = size
        return sizes

    def sum_length(self, inputs: Sequence[Tensor]) -> int:
        sizes = self._sizes(inputs)
        return max(math.prod(fixed_size(size) for axis, size in sizes.items() if axis not in self.output), 1)
