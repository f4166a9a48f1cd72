"""Tensor operations that act on each element by itself, of one input or of several with NumPy broadcasting.

Names and meaning are those of the Python array API standard 2024.12, where it has them; no operation takes
a mask. All inputs of one operation have one dtype: what is to be promoted is preceded by a `Cast`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, final

from biport.errors import GraphError
from biport.ops.base import Locality, Op, TensorOperation
from biport.ops.checks import broadcast_shapes, check_choice, need, take
from biport.ops.tensor import BOOLEANS, EVERY_DTYPE, FLOATS, INTEGERS, NUMBERS, Tensor


class Signature(NamedTuple):
    """What an elementwise function takes and gives.

    Args:
        inputs: how many.
        dtypes: that they may have.
        output: the dtype of the result; ``None`` for that of the inputs.
    """

    inputs: int
    dtypes: Sequence[str]
    output: str | None = None


FUNCTIONS: Mapping[str, Signature] = {
    **dict.fromkeys(("negative", "abs", "sign", "square"), Signature(1, NUMBERS)),
    **dict.fromkeys(
        (
            *("exp", "expm1", "log", "log1p", "log2", "log10", "sqrt", "rsqrt", "reciprocal", "erf"),
            *("sin", "cos", "tan", "sinh", "cosh", "asin", "acos", "atan", "asinh", "acosh", "atanh"),
            *("floor", "ceil", "round", "trunc"),
        ),
        Signature(1, FLOATS),
    ),
    **dict.fromkeys(("isfinite", "isnan", "isinf"), Signature(1, FLOATS, "bool")),
    "logical_not": Signature(1, BOOLEANS),
    **dict.fromkeys(
        ("add", "subtract", "multiply", "pow", "maximum", "minimum", "floor_divide", "remainder"),
        Signature(2, NUMBERS),
    ),
    **dict.fromkeys(("divide", "atan2"), Signature(2, FLOATS)),
    **dict.fromkeys(("equal", "not_equal"), Signature(2, EVERY_DTYPE, "bool")),
    **dict.fromkeys(("less", "less_equal", "greater", "greater_equal"), Signature(2, NUMBERS, "bool")),
    **dict.fromkeys(("logical_and", "logical_or", "logical_xor"), Signature(2, BOOLEANS)),
}
"""By name. ``round`` goes to the even neighbour, ``floor_divide`` towards minus infinity and ``remainder``
has the sign of the divisor, as in Python; ``reciprocal`` is 1/x and ``rsqrt`` 1/√x; the sign of NaN is NaN.
Integers wrap around. Not defined is what divides an integer by 0, or raises one to a negative power, and what
``floor_divide`` and ``remainder`` make of infinite numbers."""


PARTIAL = frozenset(
    {
        *("log", "log1p", "log2", "log10", "sqrt", "rsqrt", "reciprocal"),
        *("asin", "acos", "acosh", "atanh", "divide", "floor_divide", "remainder", "pow"),
    }
)
"""Functions that are NaN or infinite for some finite floats, overflow aside."""


class Broadcasting(TensorOperation):
    """Each element of the output made of one element of each input; not an op by itself."""

    def locality(self, inputs: Sequence[Tensor]) -> Locality:
        rank = max(len(tensor.shape) for tensor in inputs)
        if rank < 2:
            return Locality.NONE
        # Aligned at the end, an input of one dimension less has its first axis where the others have steps.
        beside = [tensor.shape[0] for tensor in inputs if len(tensor.shape) == rank - 1]
        return Locality.ELEMENT if all(dim == 1 for dim in beside) else Locality.EVERY_FEATURE


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Elementwise(Broadcasting):
    """One of `FUNCTIONS`, of inputs that broadcast.

    Args:
        function: its array API name; Keras and torch call ``asin`` ``arcsin`` and ``asin``, ``pow`` ``power``
            and ``pow``, and so on.

    Example:
        >>> multiply = Elementwise(function="multiply")
        >>> multiply.infer([Tensor(("N", "T", 4), "float32"), Tensor((4,), "float32")])[0]
        Tensor(shape=(N, T, 4), dtype='float32')
    """

    function: str

    def __post_init__(self) -> None:
        check_choice(self.kind, "function", self.function, list(FUNCTIONS))

    @property
    def signature(self) -> Signature:
        """What it takes and gives."""
        return FUNCTIONS[self.function]

    def infer(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        for tensor in take(self, inputs, self.signature.inputs):
            need(self, tensor, None, self.signature.dtypes)
        _one_dtype(self, inputs)
        return (Tensor(broadcast_shapes(self, inputs), self.signature.output or inputs[0].dtype),)

    def may_be_nan(self, inputs: Sequence[Tensor], masked: bool) -> bool:
        return self.function in PARTIAL and inputs[0].dtype in FLOATS


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Where(Broadcasting):
    """``x`` where a condition is true, ``y`` elsewhere; the three broadcast.

    The condition is the first input, of booleans; neither of the others is computed with where the other is
    taken, so that a NaN there does no harm.
    """

    def infer(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        condition, *others = take(self, inputs, 3)
        need(self, condition, None, BOOLEANS)
        for tensor in others:
            need(self, tensor, None, EVERY_DTYPE)
        _one_dtype(self, others)
        return (Tensor(broadcast_shapes(self, inputs), others[0].dtype),)


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Clip(TensorOperation):
    """Numbers no smaller than ``min`` and no larger than ``max``, any shape; NaN stays NaN.

    Args:
        min: ``None`` for no limit; one of the two there is.
        max: ``None`` for no limit; where it is the smaller of the two, everything is ``max``.
    """

    min: float | None = None
    max: float | None = None

    def __post_init__(self) -> None:
        for name in ("min", "max"):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
                raise GraphError(f"Clip: {name} should be a number or None, found {value!r}")
        if self.min is None and self.max is None:
            raise GraphError("Clip: there should be a limit, found neither min nor max")

    def infer(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        (x,) = take(self, inputs, 1)
        need(self, x, None, NUMBERS)
        whole = all(value is None or float(value).is_integer() for value in (self.min, self.max))
        if x.dtype in INTEGERS and not whole:
            raise GraphError(f"Clip of {x} takes whole numbers, found {self.min} and {self.max}")
        return (x,)

    def locality(self, inputs: Sequence[Tensor]) -> Locality:
        return Locality.ELEMENT


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Cast(TensorOperation):
    """The same numbers in another dtype, any shape.

    Floats are cut towards zero where they become integers, and what is not zero becomes true. Floats that no
    integer can hold, and NaN, are not defined.

    Args:
        output_dtype: a float follows the graph's, see `Op.astype`.
    """

    output_dtype: str

    def __post_init__(self) -> None:
        check_choice(self.kind, "output_dtype", self.output_dtype, EVERY_DTYPE)

    def infer(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        (x,) = take(self, inputs, 1)
        need(self, x, None, EVERY_DTYPE)
        return (Tensor(x.shape, self.output_dtype),)

    def locality(self, inputs: Sequence[Tensor]) -> Locality:
        return Locality.ELEMENT


def _one_dtype(op: Op, inputs: Sequence[Tensor]) -> None:
    if len({tensor.dtype for tensor in inputs}) > 1:
        given = " and ".join(map(str, inputs))
        raise GraphError(f"{op.kind} takes inputs of one dtype, found {given}; a Cast makes one of another")
