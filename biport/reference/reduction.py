"""The ops of `biport.ops.reduction`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from biport.errors import InputError
from biport.ops import ArgReduction, CumulativeSum, LogSoftmax, Reduction
from biport.reference.functions import log_softmax
from biport.reference.registry import Arrays, Masks, computes

FUNCTIONS: Mapping[str, Callable[..., np.ndarray]] = {
    "sum": np.sum,
    "prod": np.prod,
    "max": np.max,
    "min": np.min,
    "mean": np.mean,
    "any": np.any,
    "all": np.all,
}


@computes(Reduction)
def reduction(op: Reduction, inputs: Arrays, masks: Masks) -> tuple[np.ndarray, ...]:
    """Any shape, over ``op.axes``.

    Raises:
        InputError: the maximum or minimum of nothing is asked for.
    """
    (x,) = inputs
    if op.extreme:
        _check_elements(op.function, x, op.axes)
    # A mean of nothing is NaN, and numpy warns of it.
    with np.errstate(all="ignore"):
        return (np.asarray(_reduced(op, x), x.dtype),)


def _reduced(op: Reduction, x: np.ndarray) -> np.ndarray:
    over = {"axis": op.axes, "keepdims": op.keepdims}
    match op.function:
        case "mean" | "var" | "std":
            return _moment(op, x)
        case "logsumexp":
            most = np.max(x, axis=op.axes, keepdims=True, initial=-np.inf)
            shift = np.where(np.isfinite(most), most, x.dtype.type(0))
            total = np.log(np.sum(np.exp(x - shift), axis=op.axes, keepdims=True)) + shift
            return total if op.keepdims else np.squeeze(total, op.axes)
        case "norm" if op.order == 2:
            return np.sqrt(np.sum(np.square(x), **over))
        case "norm" if op.order == 1:
            return np.sum(np.abs(x), **over)
        case "norm":
            return np.max(np.abs(x), **over)
    return FUNCTIONS[op.function](x, **over)


def _moment(op: Reduction, x: np.ndarray) -> np.ndarray:
    """A mean, or that of the squared distances to it; numpy's own warn of nothing in words of theirs."""
    count = np.prod([x.shape[axis] for axis in op.axes], dtype="int64")
    mean = np.sum(x, axis=op.axes, keepdims=True) / x.dtype.type(count)
    if op.function == "mean":
        return mean if op.keepdims else np.squeeze(mean, op.axes)
    total = np.sum(np.square(x - mean), axis=op.axes, keepdims=op.keepdims)
    variance = total / x.dtype.type(max(count - op.correction, 0))
    return np.sqrt(variance) if op.function == "std" else variance


def _check_elements(function: str, x: np.ndarray, axes: tuple[int, ...]) -> None:
    if any(x.shape[axis] == 0 for axis in axes):
        raise InputError(f"there is no {function} of nothing: shape {x.shape}, axes {axes}")


@computes(ArgReduction)
def arg_reduction(op: ArgReduction, inputs: Arrays, masks: Masks) -> tuple[np.ndarray, ...]:
    """Any shape, along ``op.axis``; the first of equal numbers.

    Raises:
        InputError: there are no elements along the axis.
    """
    (x,) = inputs
    _check_elements(op.function, x, (op.axis,))
    find = np.argmax if op.function == "argmax" else np.argmin
    return (np.asarray(find(x, axis=op.axis, keepdims=op.keepdims), "int64"),)


@computes(CumulativeSum)
def cumulative_sum(op: CumulativeSum, inputs: Arrays, masks: Masks) -> tuple[np.ndarray, ...]:
    """Any shape, along ``op.axis``."""
    return (np.cumsum(inputs[0], axis=op.axis, dtype=inputs[0].dtype),)


@computes(LogSoftmax)
def log_of_softmax(op: LogSoftmax, inputs: Arrays, masks: Masks) -> tuple[np.ndarray, ...]:
    """Any shape, along ``op.axis``."""
    return (log_softmax(inputs[0], op.axis),)
