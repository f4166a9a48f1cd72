"""The names of the activations a layer may have, and the layers that are nothing but an activation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from biport.errors import GraphError, UnsupportedError
from biport.ops.base import Locality, Op, parameter
from biport.ops.checks import check_array, check_choice, check_number, floats, need, on_axes, on_axis, take
from biport.ops.tensor import FLOATS, Tensor

ACTIVATIONS = (
    "celu",
    "elu",
    "exponential",
    "gelu",
    "hard_shrink",
    "hard_sigmoid",
    "hard_sigmoid_keras2",
    "hard_silu",
    "hard_tanh",
    "leaky_relu",
    "linear",
    "log_sigmoid",
    "log_softmax",
    "mish",
    "relu",
    "relu6",
    "selu",
    "sigmoid",
    "silu",
    "soft_shrink",
    "softmax",
    "softplus",
    "softsign",
    "sparse_plus",
    "sparse_sigmoid",
    "squareplus",
    "tanh",
    "tanh_shrink",
)
"""Keras' names. Parameters have Keras 3's default values: ``elu`` and ``celu`` alpha 1, ``leaky_relu`` slope
0.2, ``hard_sigmoid`` slope 1/6, the shrinks 0.5, ``gelu`` exact. ``hard_sigmoid_keras2`` is what Keras 1 and
2 call ``hard_sigmoid``, of slope 1/5."""


OVER_FEATURES = ("log_softmax", "softmax")
"""Those that look at all features together; all others are functions of one number."""


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Activation(Op):
    """One of `ACTIVATIONS`, any shape; softmax and log_softmax go over the last dimension."""

    function: str

    def __post_init__(self) -> None:
        check_choice(self.kind, "function", self.function, ACTIVATIONS)

    @property
    def identity(self) -> bool:
        """Of ``linear`` alone."""
        return self.function == "linear"

    def infer(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        (x,) = _same(self, inputs)
        if self.function in OVER_FEATURES:
            on_axis(self, -1, x)
        return (x,)

    def mixes_rows(self, inputs: Sequence[Tensor]) -> bool:
        return self.function in OVER_FEATURES and len(inputs[0].shape) == 1

    def locality(self, inputs: Sequence[Tensor]) -> Locality:
        return Locality.along(len(inputs[0].shape), mixed=[-1] if self.function in OVER_FEATURES else [])


class Pointwise(Op):
    """A function of one number, of floats of any shape; not an op by itself."""

    def infer(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        return _same(self, inputs)

    def locality(self, inputs: Sequence[Tensor]) -> Locality:
        return Locality.ELEMENT


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class ReLU(Pointwise):
    """``x`` where it is above ``threshold``, ``negative_slope (x - threshold)`` elsewhere; then a maximum.

    Args:
        max_value: nothing is larger, not less than 0; ``None`` for no limit.
        negative_slope: not negative.
        threshold: not negative.
    """

    max_value: float | None = None
    negative_slope: float = 0.0
    threshold: float = 0.0

    def __post_init__(self) -> None:
        for name in ("max_value", "negative_slope", "threshold"):
            if name != "max_value" or self.max_value is not None:
                check_number(self.kind, name, getattr(self, name), least=0)


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class LeakyReLU(Pointwise):
    """``x`` above zero, ``negative_slope x`` below; any shape."""

    negative_slope: float

    def __post_init__(self) -> None:
        check_number(self.kind, "negative_slope", self.negative_slope, least=0)


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class ELU(Pointwise):
    """``x`` above zero, ``alpha (exp(x) - 1)`` below; any shape."""

    alpha: float = 1.0

    def __post_init__(self) -> None:
        check_number(self.kind, "alpha", self.alpha)


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class PReLU(Op):
    """``x`` above zero, ``alpha x`` below, with a slope for every element of ``(N, ...)``.

    Args:
        alpha: of the input's shape without N, and 1 along the axes that share a slope.
    """

    alpha: np.ndarray = parameter()

    def __post_init__(self) -> None:
        check_array(self.kind, "alpha", self.alpha, np.shape(self.alpha), None)
        if not self.alpha.ndim:
            raise GraphError("PReLU: alpha should have one or more dimensions")

    def infer(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        (x,) = take(self, inputs, 1)
        need(self, x, self.alpha.ndim + 1, floats(self))
        if any(size not in (1, dim) for size, dim in zip(self.alpha.shape, x.shape[1:], strict=True)):
            raise GraphError(f"PReLU: slopes of shape {self.alpha.shape} do not go with {x}")
        return (x,)

    def locality(self, inputs: Sequence[Tensor]) -> Locality:
        own = [axis for axis, size in enumerate(self.alpha.shape, start=1) if size != 1]
        return Locality.along(self.alpha.ndim + 1, weighted=own)


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Softmax(Op):
    """``exp(x)`` over its sum along ``axis``; with a mask, over the valid elements only.

    A mask is for ``(N, T)``, scores of steps: elsewhere Keras would lay an ``(N, T)`` mask over the last two
    dimensions, which it fits by accident at best. Masked elements give 0; Keras puts -1e9 in their place.

    Args:
        axis: one axis or several.
    """

    masked: ClassVar[Sequence[int]] = (0,)

    axis: int | tuple[int, ...] = -1

    def __post_init__(self) -> None:
        if not isinstance(self.axis, int):
            # A bundle gives a list.
            object.__setattr__(self, "axis", tuple(self.axis))
        if not self.axes or any(not isinstance(axis, int) or isinstance(axis, bool) for axis in self.axes):
            raise GraphError(f"Softmax: axis should be an integer or several, found {self.axis!r}")

    @property
    def axes(self) -> tuple[int, ...]:
        """The axes, always as several."""
        return (self.axis,) if isinstance(self.axis, int) else self.axis

    def infer(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        (x,) = _same(self, inputs)
        on_axes(self, self.axes, x)
        return (x,)

    def mixes_rows(self, inputs: Sequence[Tensor]) -> bool:
        return 0 in on_axes(self, self.axes, inputs[0])

    def locality(self, inputs: Sequence[Tensor]) -> Locality:
        return Locality.along(len(inputs[0].shape), mixed=self.axes)

    def check_masked(self, owner: str, data: Tensor) -> None:
        if len(data.shape) != 2:
            raise UnsupportedError(owner, "mask", f"(N, T) over {data}", "a mask over (N, T), or none")


def _same(op: Op, inputs: Sequence[Tensor]) -> tuple[Tensor]:
    """One float input, given back."""
    (x,) = take(op, inputs, 1)
    need(op, x, None, FLOATS)
    return (x,)
