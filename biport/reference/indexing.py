"""The ops of `biport.ops.indexing`."""

from __future__ import annotations

import numpy as np

from biport.errors import InputError
from biport.ops import ArgSort, OneHot, Sort, StepAt, Take, TakeAlongAxis, TopK
from biport.reference.registry import Arrays, Masks, computes


@computes(Take)
def take(op: Take, inputs: Arrays, masks: Masks) -> tuple[np.ndarray, ...]:
    """``(..., *indices.shape, ...)``.

    Raises:
        InputError: an index is outside of the axis.
    """
    x, indices = inputs
    check_indices(indices, x.shape[op.axis])
    return (np.take(x, indices, axis=op.axis),)


@computes(TakeAlongAxis)
def take_along_axis(op: TakeAlongAxis, inputs: Arrays, masks: Masks) -> tuple[np.ndarray, ...]:
    """Of the indices' shape, but for what they are stretched by.

    Raises:
        InputError: an index is outside of the axis.
    """
    x, indices = inputs
    check_indices(indices, x.shape[op.axis])
    return (np.take_along_axis(x, indices, op.axis),)


@computes(StepAt)
def step_at(op: StepAt, inputs: Arrays, masks: Masks) -> tuple[np.ndarray, ...]:
    """``(N, T, ...)`` and ``(N,)`` to ``(N, ...)``.

    Raises:
        InputError: there is no such step.
    """
    x, steps = inputs
    check_indices(steps, x.shape[1])
    return (x[np.arange(len(x)), steps],)


def check_indices(indices: np.ndarray, size: int) -> None:
    """Refuse indices outside of an axis of ``size`` elements.

    Raises:
        InputError: there is one.
    """
    wrong = indices[(indices < -size) | (indices >= size)]
    if wrong.size:
        raise InputError(f"an index should be in [{-size}, {size}), found {wrong.flat[0]}")


@computes(OneHot)
def one_hot(op: OneHot, inputs: Arrays, masks: Masks) -> tuple[np.ndarray, ...]:
    """``(...)`` to ``(..., num_classes)``; zeros alone for an integer outside of them."""
    return ((inputs[0][..., None] == np.arange(op.num_classes)).astype(op.output_dtype),)


def _order(x: np.ndarray, axis: int, descending: bool) -> np.ndarray:
    """The positions by size, equal numbers in their order."""
    if not descending:
        return np.argsort(x, axis=axis, kind="stable")
    # Reversed twice, equal numbers stay in their order.
    last = x.shape[axis] - 1
    return last - np.flip(np.argsort(np.flip(x, axis), axis=axis, kind="stable"), axis)


@computes(TopK)
def top_k(op: TopK, inputs: Arrays, masks: Masks) -> tuple[np.ndarray, ...]:
    """The ``k`` first by size and their positions.

    Raises:
        InputError: there are fewer.
    """
    (x,) = inputs
    if x.shape[op.axis] < op.k:
        raise InputError(f"there are no {op.k} elements along axis {op.axis} of shape {x.shape}")
    positions = np.take(_order(x, op.axis, op.largest), np.arange(op.k), axis=op.axis)
    return np.take_along_axis(x, positions, op.axis), positions.astype("int64")


@computes(Sort)
def sort(op: Sort, inputs: Arrays, masks: Masks) -> tuple[np.ndarray, ...]:
    """Any shape, along ``op.axis``."""
    (x,) = inputs
    return (np.take_along_axis(x, _order(x, op.axis, op.descending), op.axis),)


@computes(ArgSort)
def arg_sort(op: ArgSort, inputs: Arrays, masks: Masks) -> tuple[np.ndarray, ...]:
    """Any shape, along ``op.axis``."""
    return (_order(inputs[0], op.axis, op.descending).astype("int64"),)
