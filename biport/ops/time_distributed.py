"""A layer applied to every step by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from biport.dims import letter
from biport.errors import GraphError, UnsupportedError
from biport.ops.base import Locality, Op
from biport.ops.checks import take
from biport.ops.embedding import Embedding
from biport.ops.tensor import Tensor

EVERY_STEP = letter("N") * letter("T")
"""How many rows all steps are, one below the other."""


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class TimeDistributed(Op):
    """``layer`` over every step of ``(N, T, ...)``, without a mask: as if N·T rows were given to it.

    Args:
        layer: an op of one input and one output.
    """

    layer: Op

    def __post_init__(self) -> None:
        if not isinstance(self.layer, Op):
            raise GraphError(f"{self.kind}: layer should be an op, found {self.layer!r}")
        if isinstance(self.layer, Embedding):
            supported = "an Embedding by itself, which takes ids of any rank"
            raise UnsupportedError(self.kind, "layer", self.layer.kind, supported)

    def inner(self, x: Tensor) -> Tensor:
        """What the layer is given of ``x``, ``(N, T, ...)``: its rows, ``(N·T, ...)``."""
        if len(x.shape) < 3:
            raise GraphError(f"{self.kind} takes three or more dimensions, found {x}")
        return Tensor((EVERY_STEP, *x.shape[2:]), x.dtype)

    def infer(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        (x,) = take(self, inputs, 1)
        outputs = self.layer.infer([self.inner(x)])
        if len(outputs) != 1 or outputs[0].shape[:1] != (EVERY_STEP,):
            raise UnsupportedError(self.kind, "layer", self.layer.kind, "layers of one output, row by row")
        return (Tensor((*x.shape[:2], *outputs[0].shape[1:]), outputs[0].dtype),)

    def mixes_rows(self, inputs: Sequence[Tensor]) -> bool:
        return self.layer.mixes_rows([self.inner(inputs[0])])

    def may_be_nan(self, inputs: Sequence[Tensor], masked: bool) -> bool:
        return self.layer.may_be_nan([self.inner(inputs[0])], masked)

    def locality(self, inputs: Sequence[Tensor]) -> Locality:
        inside = self.layer.locality([self.inner(inputs[0])])
        if self.mixes_rows(inputs):
            # The steps of all rows are rows of the layer.
            return Locality.NONE
        return Locality.EVERY_STEP | inside & Locality.EVERY_FEATURE

    def sum_length(self, inputs: Sequence[Tensor]) -> int:
        return self.layer.sum_length([self.inner(inputs[0])])
