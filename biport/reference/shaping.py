"""The ops of `biport.ops.shaping`, with numbers for all sizes in their settings."""

from __future__ import annotations

import math

import numpy as np

from biport.dims import numbers
from biport.errors import InputError
from biport.ops import (
    BroadcastTo,
    ExpandDims,
    Flip,
    Pad,
    PermuteDims,
    Repeat,
    ReshapeTo,
    Roll,
    Slice,
    Split,
    Squeeze,
    Stack,
    Tile,
    Unstack,
)
from biport.reference.registry import Arrays, Masks, computes


@computes(ReshapeTo)
def reshape_to(op: ReshapeTo, inputs: Arrays, masks: Masks) -> tuple[np.ndarray, ...]:
    """Any shape to ``op.shape``.

    Raises:
        InputError: it has another number of elements.
    """
    (x,) = inputs
    shape = numbers(op.shape)
    if math.prod(shape) != x.size:
        raise InputError(f"an array of shape {x.shape} does not go into {shape}")
    return (x.reshape(shape),)


@computes(PermuteDims)
def permute_dims(op: PermuteDims, inputs: Arrays, masks: Masks) -> tuple[np.ndarray, ...]:
    """Axes in another order."""
    return (inputs[0].transpose(op.axes),)


@computes(ExpandDims)
def expand_dims(op: ExpandDims, inputs: Arrays, masks: Masks) -> tuple[np.ndarray, ...]:
    """New axes of size 1."""
    return (np.expand_dims(inputs[0], op.axes),)


@computes(Squeeze)
def squeeze(op: Squeeze, inputs: Arrays, masks: Masks) -> tuple[np.ndarray, ...]:
    """Without some axes of size 1.

    Raises:
        InputError: one has another size.
    """
    (x,) = inputs
    if any(x.shape[axis] != 1 for axis in op.axes):
        raise InputError(f"the axes {op.axes} of shape {x.shape} are not of size 1")
    return (np.squeeze(x, op.axes),)


@computes(BroadcastTo)
def broadcast_to(op: BroadcastTo, inputs: Arrays, masks: Masks) -> tuple[np.ndarray, ...]:
    """Sizes of 1 stretched.

    Raises:
        InputError: another size would have to be.
    """
    try:
        return (np.broadcast_to(inputs[0], numbers(op.shape)),)
    except ValueError as error:
        raise InputError(f"shape {inputs[0].shape} does not stretch to {op.shape}") from error


@computes(Tile)
def tile(op: Tile, inputs: Arrays, masks: Masks) -> tuple[np.ndarray, ...]:
    """The whole several times along each axis."""
    return (np.tile(inputs[0], numbers(op.repetitions)),)


@computes(Repeat)
def repeat(op: Repeat, inputs: Arrays, masks: Masks) -> tuple[np.ndarray, ...]:
    """Each element several times along an axis."""
    return (np.repeat(inputs[0], op.repeats, op.axis),)


@computes(Flip)
def flip(op: Flip, inputs: Arrays, masks: Masks) -> tuple[np.ndarray, ...]:
    """Some axes in reverse order."""
    return (np.flip(inputs[0], op.axes),)


@computes(Roll)
def roll(op: Roll, inputs: Arrays, masks: Masks) -> tuple[np.ndarray, ...]:
    """Moved on along an axis."""
    return (np.roll(inputs[0], op.shift, op.axis),)


@computes(Pad)
def pad(op: Pad, inputs: Arrays, masks: Masks) -> tuple[np.ndarray, ...]:
    """More elements at the ends of each axis.

    Raises:
        InputError: there are too few elements to mirror or repeat.
    """
    (x,) = inputs
    widths = [numbers(pair) for pair in op.widths]
    if op.mode == "constant":
        return (np.pad(x, widths, constant_values=x.dtype.type(op.value)),)
    for size, pair in zip(x.shape, widths, strict=True):
        if any(pair) and size < (1 if op.mode == "edge" else 1 + max(pair)):
            raise InputError(f"padding by {pair} ({op.mode}) takes more elements, found shape {x.shape}")
    return (np.pad(x, widths, mode="edge" if op.mode == "edge" else "reflect"),)


@computes(Slice)
def slice_(op: Slice, inputs: Arrays, masks: Masks) -> tuple[np.ndarray, ...]:
    """Part of it, as Python's square brackets take it.

    Raises:
        InputError: there is no such position.
    """
    index = tuple(slice(*item) if isinstance(item, tuple) else item for item in op.items)
    try:
        return (inputs[0][index],)
    except IndexError as error:
        raise InputError(f"there is no {op.items} in shape {inputs[0].shape}") from error


@computes(Stack)
def stack(op: Stack, inputs: Arrays, masks: Masks) -> tuple[np.ndarray, ...]:
    """Arrays of one shape along a new axis."""
    return (np.stack(list(inputs), op.axis),)


@computes(Split)
def split(op: Split, inputs: Arrays, masks: Masks) -> tuple[np.ndarray, ...]:
    """Parts along an axis.

    Raises:
        InputError: the parts do not add up to its size.
    """
    (x,) = inputs
    left = x.shape[op.axis] - sum(size for size in op.sizes if size != -1)
    if left < 0 or (left and -1 not in op.sizes):
        raise InputError(f"parts of {op.sizes} along axis {op.axis} of shape {x.shape}")
    ends = np.cumsum([left if size == -1 else size for size in op.sizes])
    return tuple(np.split(x, ends[:-1], op.axis))


@computes(Unstack)
def unstack(op: Unstack, inputs: Arrays, masks: Masks) -> tuple[np.ndarray, ...]:
    """The elements along an axis.

    Raises:
        InputError: there are more or fewer.
    """
    (x,) = inputs
    if x.shape[op.axis] != op.count:
        raise InputError(f"{op.count} elements along axis {op.axis}, found shape {x.shape}")
    return tuple(np.moveaxis(x, op.axis, 0))
