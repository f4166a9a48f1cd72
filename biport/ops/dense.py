"""A matrix and an activation over the last dimension."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from biport.errors import GraphError
from biport.ops.activation import ACTIVATIONS
from biport.ops.base import Locality, Op, parameter
from biport.ops.checks import check_array, check_choice, check_sizes, floats, need, take
from biport.ops.tensor import Tensor


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Dense(Op):
    """``activation(x Wᵀ + b)`` over the last dimension, ``(..., I)`` to ``(..., O)``.

    Args:
        input_size: I.
        output_size: O; Keras ``units``.
        activation: one of `ACTIVATIONS`; softmax and log_softmax go over the last dimension.
        weight: ``(O, I)``.
        bias: ``(O,)`` or ``None``.
    """

    input_size: int
    output_size: int
    activation: str = "linear"
    weight: np.ndarray = parameter()
    bias: np.ndarray | None = parameter()

    def __post_init__(self) -> None:
        check_sizes(self.kind, input_size=self.input_size, output_size=self.output_size)
        check_choice(self.kind, "activation", self.activation, ACTIVATIONS)
        check_array(self.kind, "weight", self.weight, (self.output_size, self.input_size), None)
        if self.bias is not None:
            check_array(self.kind, "bias", self.bias, (self.output_size,), self.dtype)

    def infer(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        (x,) = take(self, inputs, 1)
        need(self, x, None, floats(self), self.input_size)
        if len(x.shape) < 2:
            raise GraphError(f"{self.kind} takes two or more dimensions, found {x}")
        return (Tensor((*x.shape[:-1], self.output_size), x.dtype),)

    def locality(self, inputs: Sequence[Tensor]) -> Locality:
        return Locality.along(len(inputs[0].shape), mixed=[-1])

    def sum_length(self, inputs: Sequence[Tensor]) -> int:
        return self.input_size
