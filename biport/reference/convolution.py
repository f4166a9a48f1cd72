"""The ops of `biport.ops.convolution`."""

from __future__ import annotations

from functools import reduce

import numpy as np

from biport.errors import InputError
from biport.ops import (
    Convolution,
    SeparableConv1D,
    SeparableConv2D,
    SeparableConvolution,
    TransposedConvolution,
)
from biport.ops.convolution import CONVOLUTIONS, TRANSPOSED
from biport.reference.functions import ACTIVATIONS
from biport.reference.registry import Arrays, Masks, computes
from biport.reference.windows import padded, positions


@computes(*CONVOLUTIONS.values())
def convolution(op: Convolution, inputs: Arrays, masks: Masks) -> tuple[np.ndarray, ...]:
    """``(N, *T, I)`` to ``(N, *T', O)``: the sum over the positions in a window, group by group."""
    x = padded(inputs[0], op.spans, op.strides, op.padding)
    parts = positions(x, op.kernel_size, op.strides, op.dilation)
    z = reduce(np.add, (grouped(part, op.weight[(..., *position)], op.groups) for position, part in parts))
    return (ACTIVATIONS[op.activation](z if op.bias is None else z + op.bias),)


@computes(SeparableConv1D, SeparableConv2D)
def separable(op: SeparableConvolution, inputs: Arrays, masks: Masks) -> tuple[np.ndarray, ...]:
    """``(N, *T, I)`` to ``(N, *T', O)``: each feature by itself, then each position by itself."""
    return convolution(op.pointwise, convolution(op.depthwise, inputs, masks), masks)


@computes(*TRANSPOSED.values())
def transposed(op: TransposedConvolution, inputs: Arrays, masks: Masks) -> tuple[np.ndarray, ...]:
    """``(N, *T, I)`` to ``(N, *T', O)``: what each x adds to its window, and of that what is not cut off.

    Raises:
        InputError: there is nothing left, or no x.
    """
    (x,) = inputs
    axes = zip(x.shape[1:-1], op.strides, op.spans, strict=True)
    full = [(T - 1) * stride + span for T, stride, span in axes]
    before = [first for first, _ in op.cropping]
    sizes = [size - sum(cut) for size, cut in zip(full, op.cropping, strict=True)]
    if min(x.shape[1:-1]) < 1 or min(sizes) < 1:
        raise InputError(f"nothing is made of a size of {x.shape[1:-1]}")
    room = [max(size, first + kept) for size, first, kept in zip(full, before, sizes, strict=True)]
    z = np.zeros((len(x), *room, op.output_size), x.dtype)
    # (I, O / G) at each position; a group's rows and columns lie together.
    for position, window in positions(z, op.kernel_size, (1,) * op.dimensions, op.dilation):
        reached = [
            slice(None, (T - 1) * stride + 1, stride)
            for T, stride in zip(x.shape[1:-1], op.strides, strict=True)
        ]
        window[(slice(None), *reached)] += grouped(x, _turned(op, position), op.groups)
    kept = [slice(first, first + size) for first, size in zip(before, sizes, strict=True)]
    z = z[(slice(None), *kept)]
    return (ACTIVATIONS[op.activation](z if op.bias is None else z + op.bias),)


def _turned(op: TransposedConvolution, position: tuple[int, ...]) -> np.ndarray:
    """The weights at a position, ``(O, I / G)`` as those of a convolution."""
    parts = np.split(op.weight[(..., *position)], op.groups)
    return np.concatenate([part.T for part in parts])


def grouped(x: np.ndarray, weight: np.ndarray, groups: int) -> np.ndarray:
    """``x Wᵀ`` over the last axis, ``(..., I)`` by ``(O, I / G)``, each group of features by itself."""
    if groups == 1:
        return x @ weight.T
    split = x.reshape(*x.shape[:-1], groups, 1, x.shape[-1] // groups)
    each = split @ weight.reshape(groups, -1, weight.shape[1]).swapaxes(1, 2)
    return each.reshape(*x.shape[:-1], len(weight))
