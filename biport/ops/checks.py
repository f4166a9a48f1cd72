"""What ops check of their settings and inputs, in the same words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from biport.dims import longest
from biport.errors import GraphError, WeightError
from biport.ops.base import Op
from biport.ops.tensor import FLOATS, Dim, Tensor, same_dim
from biport.weight_files import pieces


class TooShortError(GraphError):
    """An axis has fewer elements than an op needs.

    Args:
        message: what is said of it.
        axis: what the op calls the axis, such as ``"height"``; empty where it has no name for it.
        node: the node of the op, and the op, where it is one of a graph.
    """

    def __init__(self, message: str, axis: str = "", node: str = "") -> None:
        super().__init__(message)
        self.axis = axis
        self.node = node


def check_array(owner: str, name: str, array: object, shape: tuple[int, ...], dtype: str | None) -> None:
    """Refuse what is not a finite float array of ``shape``, and of ``dtype`` where one is given."""
    if not isinstance(array, np.ndarray):
        raise WeightError(f"{owner}: {name} is missing")
    if array.shape != shape:
        raise WeightError(f"{owner}: {name} should have shape {shape}, found {array.shape}")
    if array.dtype.name not in FLOATS or (dtype is not None and array.dtype.name != dtype):
        wanted = dtype or " or ".join(FLOATS)
        raise WeightError(f"{owner}: {name} should be {wanted}, found {array.dtype.name}")
    if not all(np.isfinite(piece).all() for piece in pieces(array)):
        raise WeightError(f"{owner}: {name} holds NaN or infinite numbers")


def check_sizes(owner: str, **sizes: int) -> None:
    """Refuse sizes that are no positive integers."""
    for name, size in sizes.items():
        if not isinstance(size, int) or isinstance(size, bool) or size < 1:
            raise GraphError(f"{owner}: {name} should be a positive integer, found {size!r}")


def check_choice(owner: str, name: str, value: object, choices: Sequence[object]) -> None:
    """Refuse a setting that is none of ``choices``."""
    if value not in choices:
        raise GraphError(f"{owner}: {name} should be one of {list(choices)}, found {value!r}")


def check_number(owner: str, name: str, value: object, least: float | None = None) -> None:
    """Refuse what is not a finite number, or is below ``least``."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        raise GraphError(f"{owner}: {name} should be a finite number, found {value!r}")
    if least is not None and value < least:
        raise GraphError(f"{owner}: {name} should not be below {least}, found {value!r}")


def take(op: Op, inputs: Sequence[Tensor], count: int) -> Sequence[Tensor]:
    """The inputs, which must be ``count``."""
    if len(inputs) != count:
        raise GraphError(f"{op.kind} takes {count} input{'s' * (count != 1)}, found {len(inputs)}")
    return inputs


def need(op: Op, tensor: Tensor, rank: int | None, dtypes: Sequence[str], last: Dim | None = None) -> None:
    """Refuse an input of another rank, dtype or last dimension."""
    if rank is not None and len(tensor.shape) != rank:
        raise GraphError(f"{op.kind} takes {rank} dimensions, found {tensor}")
    if tensor.dtype not in dtypes:
        raise GraphError(f"{op.kind} takes {' or '.join(dtypes)}, found {tensor}")
    if last is not None and not (tensor.shape and same_dim(tensor.shape[-1], last)):
        raise GraphError(f"{op.kind} takes a last dimension of {last}, found {tensor}")


def floats(op: Op) -> Sequence[str]:
    """The dtypes an op takes: its weights', or any float."""
    return FLOATS if op.dtype is None else (op.dtype,)


def match_shapes(op: Op, inputs: Sequence[Tensor], axis: int | None) -> None:
    """Refuse inputs whose dtypes or sizes differ, those along ``axis`` aside."""
    first = inputs[0]
    for other in inputs[1:]:
        agree = len(other.shape) == len(first.shape) and other.dtype == first.dtype
        if not agree or any(
            not same_dim(a, b)
            for position, (a, b) in enumerate(zip(first.shape, other.shape, strict=True))
            if position != axis
        ):
            raise GraphError(f"{op.kind}: {first} and {other} do not go together")


def broadcast(op: Op, inputs: Sequence[Tensor]) -> tuple[Dim, ...]:
    """The shape that inputs of one rank and dtype make together, sizes of 1 stretched to the others'.

    Of two different sizes that vary it is the longest: they may be equal, or either may be 1.

    Raises:
        GraphError: ranks, dtypes or sizes do not go together.

    Example:
        >>> from biport import ops
        >>> broadcast(ops.Add(), [Tensor(("N", "T", 1), "float32"), Tensor(("N", 1, 4), "float32")])
        (N, T, 4)
    """
    first = inputs[0]
    for other in inputs[1:]:
        if len(other.shape) != len(first.shape) or other.dtype != first.dtype:
            raise GraphError(f"{op.kind}: {first} and {other} do not go together")
    return tuple(
        _stretched(op, dims, inputs) for dims in zip(*(tensor.shape for tensor in inputs), strict=True)
    )


def broadcast_shapes(op: Op, inputs: Sequence[Tensor]) -> tuple[Dim, ...]:
    """Like `broadcast`, for inputs of any ranks and dtypes: shapes are aligned at their ends, as in NumPy.

    Raises:
        GraphError: sizes do not go together.

    Example:
        >>> from biport import ops
        >>> op = ops.Elementwise(function="add")
        >>> broadcast_shapes(op, [Tensor(("N", "T", 4), "float32"), Tensor((4,), "float32")])
        (N, T, 4)
    """
    rank = max(len(tensor.shape) for tensor in inputs)
    full = [(1,) * (rank - len(tensor.shape)) + tensor.shape for tensor in inputs]
    return tuple(_stretched(op, dims, inputs) for dims in zip(*full, strict=True))


def on_axis(op: Op, axis: int, tensor: Tensor) -> int:
    """An axis of a tensor, counted from the front.

    Raises:
        GraphError: there is none.
    """
    rank = len(tensor.shape)
    if not -rank <= axis < rank:
        raise GraphError(f"{op.kind}: there is no axis {axis} in {tensor}")
    return axis % rank


def on_axes(op: Op, axes: Sequence[int], tensor: Tensor) -> tuple[int, ...]:
    """Axes of a tensor, counted from the front, none of them twice.

    Raises:
        GraphError: there is no such axis, or one is there twice.
    """
    front = tuple(on_axis(op, axis, tensor) for axis in axes)
    if len(set(front)) < len(front):
        raise GraphError(f"{op.kind}: an axis twice in {tuple(axes)}")
    return front


def check_axes(op: Op, axes: object) -> tuple[int, ...]:
    """Axes as a tuple of integers.

    Raises:
        GraphError: they are something else.
    """
    given: tuple[Any, ...] = tuple(axes) if isinstance(axes, list | tuple) else (axes,)
    if any(not isinstance(axis, int) or isinstance(axis, bool) for axis in given):
        raise GraphError(f"{op.kind}: axes should be integers, found {axes!r}")
    return given


def _stretched(op: Op, dims: Sequence[Dim], inputs: Sequence[Tensor]) -> Dim:
    sizes = sorted({dim for dim in dims if isinstance(dim, int) and dim != 1})
    varying = {dim for dim in dims if not isinstance(dim, int)}
    if len(sizes) > 1:
        raise GraphError(f"{op.kind}: {' and '.join(map(str, inputs))} do not go together")
    if sizes or not varying:
        return sizes[0] if sizes else 1
    return longest(*varying)
