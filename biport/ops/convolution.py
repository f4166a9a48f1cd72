"""Convolution over time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from biport.errors import GraphError
from biport.ops.activation import ACTIVATIONS
from biport.ops.base import Op, parameter
from biport.ops.checks import check_array, check_choice, check_sizes, floats, need, take, windows
from biport.ops.tensor import Tensor

PADDINGS = ("valid", "same", "causal")


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Conv1D(Op):
    """``activation(b + Σ_k W_k x[t · strides + k · dilation])``, ``(N, T, I)`` to ``(N, T', O)``.

    Over too few steps for one window the convolution is not defined: that input is refused.

    Args:
        input_size: I.
        output_size: O; Keras ``filters``.
        kernel_size: K.
        strides: steps from one window to the next.
        padding: ``"valid"``, none; ``"same"``, zeros on both sides so that T' = ⌈T / strides⌉, one more at
            the end where they are odd; ``"causal"``, zeros in front, so that no step sees a later one.
        dilation: steps from one weight to the next; Keras ``dilation_rate``.
        groups: G; each of G parts of the features is convolved by itself.
        activation: one of `ACTIVATIONS`.
        weight: ``(O, I / G, K)``.
        bias: ``(O,)`` or ``None``.
    """

    input_size: int
    output_size: int
    kernel_size: int
    strides: int = 1
    padding: str = "valid"
    dilation: int = 1
    groups: int = 1
    activation: str = "linear"
    weight: np.ndarray = parameter()
    bias: np.ndarray | None = parameter()

    def __post_init__(self) -> None:
        names = ("input_size", "output_size", "kernel_size", "strides", "dilation", "groups")
        check_sizes(self.kind, **{name: getattr(self, name) for name in names})
        check_choice(self.kind, "padding", self.padding, PADDINGS)
        check_choice(self.kind, "activation", self.activation, ACTIVATIONS)
        if self.input_size % self.groups or self.output_size % self.groups:
            raise GraphError(f"{self.kind}: {self.groups} groups do not divide the features")
        if self.strides > 1 and self.dilation > 1:
            raise GraphError(f"{self.kind}: strides and dilation are not both more than 1 in Keras")
        shape = (self.output_size, self.input_size // self.groups, self.kernel_size)
        check_array(self.kind, "weight", self.weight, shape, None)
        if self.bias is not None:
            check_array(self.kind, "bias", self.bias, (self.output_size,), self.dtype)

    @property
    def span(self) -> int:
        """How many steps a window reaches over."""
        return (self.kernel_size - 1) * self.dilation + 1

    def infer(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        (x,) = take(self, inputs, 1)
        need(self, x, 3, floats(self), self.input_size)
        steps = windows(self, x.shape[1], self.span, self.strides, self.padding)
        return (Tensor((x.shape[0], steps, self.output_size), x.dtype),)

    def sum_length(self, inputs: Sequence[Tensor]) -> int:
        return self.kernel_size * self.input_size // self.groups
