"""Axes of size 0, over which some releases of onnxruntime fail: one element is put there, and taken off.

Up to 1.26 a ``TopK`` of nothing ends the process; up to 1.16 a reduction over nothing is refused, or keeps a
size of 0, and up to 1.20 there is no largest of nothing, as there is from then on: minus infinity.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import onnx_ir as ir

from biport.dims import Dim
from biport.ops import FLOATS
from export.onnx.builder import Operand, Scope

NEUTRAL = {"ReduceProd": 1.0, "ReduceLogSumExp": -np.inf, "ReduceMax": -np.inf}
"""What changes no result of a reduction of floats, where it is not 0."""
REFUSED_BEFORE = {"ReduceMax": (1, 21)}
"""From which onnxruntime on reductions take nothing, where that is not 1.17."""


def filled(
    scope: Scope, x: ir.Value, shape: Sequence[Dim], axes: Sequence[int], fill: np.ndarray
) -> ir.Value:
    """``x`` with one element, ``fill``, along those of the axes that have none."""
    varying = _varying(shape, axes)
    if not varying:
        return x
    rank = len(shape)
    wanted = [int(axis in varying) for axis in range(rank)]
    missing = scope("Max", scope("Sub", wanted, scope("Shape", x)), [0])
    return scope("Pad", x, scope("Concat", [0] * rank, missing, axis=0), fill)


def emptied(scope: Scope, y: ir.Value, x: ir.Value, shape: Sequence[Dim], axes: Sequence[int]) -> ir.Value:
    """What was computed of ``x``, `filled`, of the size that ``x`` has along the axes."""
    varying = _varying(shape, axes)
    if not varying:
        return y
    sizes = scope("Gather", scope("Shape", x), varying)
    return scope("Slice", y, [0] * len(varying), sizes, varying)


def _varying(shape: Sequence[Dim], axes: Sequence[int]) -> list[int]:
    return [axis for axis in axes if not isinstance(shape[axis], int) or shape[axis] == 0]


def reduced(
    scope: Scope,
    op_type: str,
    x: ir.Value,
    shape: Sequence[Dim],
    dtype: str,
    axes: Sequence[int],
    keepdims: bool,
) -> ir.Value:
    """A reduction, of nothing too.

    Args:
        op_type: ONNX' operator.
        x: of ``shape`` and ``dtype``.
        axes: none of them below 0.
        keepdims: whether the axes stay, of size 1.
    """
    if scope.older_than(*REFUSED_BEFORE.get(op_type, (1, 17))):
        neutral = NEUTRAL.get(op_type, 0) if dtype in FLOATS else op_type == "ReduceProd"
        x = filled(scope, x, shape, axes, np.asarray(neutral, dtype))
    return scope(op_type, x, list(axes), keepdims=int(keepdims))


def ordered(
    scope: Scope,
    x: ir.Value,
    shape: Sequence[Dim],
    dtype: str,
    axis: int,
    largest: bool,
    count: Callable[[ir.Value], Operand],
    every: bool = False,
) -> list[ir.Value]:
    """The numbers along an axis in their order, and their positions: the outputs of a ``TopK``.

    Args:
        x: of ``shape`` and ``dtype``.
        axis: not below 0.
        largest: the largest first, else the smallest.
        count: of what is ordered, how many numbers are wanted.
        every: all of them are, of which there may be none.
    """
    others = [other for other in range(len(shape)) if every or other != axis]
    full = filled(scope, x, shape, others, np.zeros((), dtype))
    both = scope.several("TopK", full, count(full), wanted=(True, True), axis=axis, largest=int(largest))
    return [emptied(scope, part, x, shape, others) for part in both]
