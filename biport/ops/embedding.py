"""Rows of a table, looked up by their number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from biport.errors import GraphError
from biport.ops.base import Locality, Op, parameter
from biport.ops.checks import check_array, check_sizes, need, take
from biport.ops.tensor import FLOATS, INTEGERS, Tensor


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class ToIds(Op):
    """Floats that are whole numbers to integers, any shape; other floats are no ids, and refused.

    Keras cuts them to integers without a word.
    """

    def infer(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        (x,) = take(self, inputs, 1)
        need(self, x, None, FLOATS)
        return (Tensor(x.shape, "int32"),)

    def locality(self, inputs: Sequence[Tensor]) -> Locality:
        return Locality.ELEMENT


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Embedding(Op):
    """Rows of a table: ``(N, T)`` integers in ``[0, V)`` to ``(N, T, O)``.

    Args:
        num_embeddings: V; Keras ``input_dim``.
        embedding_dim: O; Keras ``output_dim``.
        weight: the table, ``(V, O)``.
        mask_zero: Keras' flag that id 0 is padding. It changes nothing here: the mask it gives rise to
            is a `NotEqual` node of its own.
        padding_idx: a row that training leaves as it is, or ``None``; Keras has no such thing.
    """

    training: ClassVar[Sequence[str]] = ("padding_idx",)

    num_embeddings: int
    embedding_dim: int
    mask_zero: bool = False
    padding_idx: int | None = None
    weight: np.ndarray = parameter()

    def __post_init__(self) -> None:
        check_sizes(self.kind, num_embeddings=self.num_embeddings, embedding_dim=self.embedding_dim)
        check_array(self.kind, "weight", self.weight, (self.num_embeddings, self.embedding_dim), None)
        row = self.padding_idx
        if row is not None and (isinstance(row, bool) or not 0 <= row < self.num_embeddings):
            raise GraphError(
                f"{self.kind}: padding_idx should be in [0, {self.num_embeddings}), found {row!r}"
            )

    @property
    def acts_in_training(self) -> bool:
        """Never: what is given is the same, whatever is done with the gradient."""
        return False

    def infer(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        (ids,) = take(self, inputs, 1)
        need(self, ids, None, INTEGERS)
        return (Tensor((*ids.shape, self.embedding_dim), self.weight.dtype.name),)

    def locality(self, inputs: Sequence[Tensor]) -> Locality:
        return Locality.along(len(inputs[0].shape) + 1, mixed=[-1])
