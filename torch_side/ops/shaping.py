"""Operations that move elements -> ``x.reshape``, ``x[:, -1]`` and the like; read is `torch.flip`."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import torch
from torch import fx

from biport import ops
from biport.dims import Dim
from biport.ops.shaping import Cut, turned
from torch_side.registry import ANY_ORDER, CHANNELS_LAST, Axes, Inputs, Masks, Outputs, axes_of, writes
from torch_side.writing.graph_writer import GraphWriter


@writes(ops.ReshapeTo)
def write_reshape_to(op: ops.ReshapeTo, writer: GraphWriter, inputs: Inputs, masks: Masks) -> Outputs:
    """``x.reshape(n, t, 4)``."""
    return (_shaped(writer, "reshape", inputs[0], op.with_rest(writer.tensor())),)


def _shaped(writer: GraphWriter, method: str, x: fx.Node, shape: tuple[Dim, ...]) -> fx.Node:
    """A method that takes the sizes of its result one by one."""
    return writer.method(method, x, *(writer.sizes(shape) or [()]))


@writes(ops.PermuteDims)
def write_permute_dims(op: ops.PermuteDims, writer: GraphWriter, inputs: Inputs, masks: Masks) -> Outputs:
    """``x.transpose(1, 2)``, ``x.permute(2, 0, 1)``."""
    moved = [axis for axis, given in enumerate(op.axes) if axis != given]
    if len(moved) == 2:
        return (writer.method("transpose", inputs[0], *moved),)
    return (writer.method("permute", inputs[0], *(op.axes or [()])),)


@writes(ops.ExpandDims)
def write_expand_dims(op: ops.ExpandDims, writer: GraphWriter, inputs: Inputs, masks: Masks) -> Outputs:
    """``x.unsqueeze(1)``."""
    x, rank = inputs[0], writer.rank() + len(op.axes)
    for axis in sorted(axis % rank for axis in op.axes):
        x = writer.method("unsqueeze", x, axis)
    return (x if op.axes else _itself(writer, x),)


@writes(ops.Squeeze)
def write_squeeze(op: ops.Squeeze, writer: GraphWriter, inputs: Inputs, masks: Masks) -> Outputs:
    """``x.squeeze(1)``; a reshape where a size varies, which torch would leave in place if it is not 1."""
    x = writer.tensor()
    if any(x.shape[axis] != 1 for axis in op.axes):
        return (_shaped(writer, "reshape", inputs[0], op.shape_of(x)),)
    if not op.axes:
        return (_itself(writer, inputs[0]),)
    axes = op.axes[0] if len(op.axes) == 1 else op.axes
    return (writer.method("squeeze", inputs[0], axes),)


@writes(ops.BroadcastTo)
def write_broadcast_to(op: ops.BroadcastTo, writer: GraphWriter, inputs: Inputs, masks: Masks) -> Outputs:
    """``x.expand(n, t, 4)``."""
    return (_shaped(writer, "expand", inputs[0], op.shape),)


@writes(ops.Tile)
def write_tile(op: ops.Tile, writer: GraphWriter, inputs: Inputs, masks: Masks) -> Outputs:
    """``x.repeat(1, 3, 1)``."""
    return (_shaped(writer, "repeat", inputs[0], op.repetitions),)


@writes(ops.Repeat)
def write_repeat(op: ops.Repeat, writer: GraphWriter, inputs: Inputs, masks: Masks) -> Outputs:
    """``x.repeat_interleave(3, 1)``."""
    return (writer.method("repeat_interleave", inputs[0], op.repeats, op.axis),)


@writes(ops.Flip)
def write_flip(op: ops.Flip, writer: GraphWriter, inputs: Inputs, masks: Masks) -> Outputs:
    """``torch.flip(x, (1,))``."""
    return (writer.call(torch.flip, inputs[0], op.axes),)


@writes(ops.Roll)
def write_roll(op: ops.Roll, writer: GraphWriter, inputs: Inputs, masks: Masks) -> Outputs:
    """``x.roll(1, 1)``."""
    return (writer.method("roll", inputs[0], op.shift, op.axis),)


@axes_of(ops.Pad)
def axes_of_pad(op: ops.Pad, inputs: Sequence[ops.Tensor]) -> Axes:
    """A constant stands around an axis wherever that is."""
    return ANY_ORDER if op.mode == "constant" else CHANNELS_LAST


@writes(ops.Pad)
def write_pad(op: ops.Pad, writer: GraphWriter, inputs: Inputs, masks: Masks) -> Outputs:
    """``F.pad(x, (0, 0, 1, 1))``; where elements are mirrored or repeated, they are joined to its ends.

    Torch does the latter for floats of some ranks alone.
    """
    (x,) = inputs
    if all(pair == (0, 0) for pair in op.widths):
        return (_itself(writer, x),)
    if op.mode == "constant":
        # The last axis first.
        own = {writer.axis(axis): pair for axis, pair in enumerate(op.widths)}
        first = min(axis for axis, pair in own.items() if pair != (0, 0))
        widths = writer.sizes([width for axis in reversed(range(first, len(own))) for width in own[axis]])
        value = bool(op.value) if writer.tensor().dtype == "bool" else op.value
        return (writer.call(torch.nn.functional.pad, x, widths, value=value),)
    for axis, (front, behind) in enumerate(op.widths):
        parts = [_front(writer, op.mode, x, axis, front), x, _behind(writer, op.mode, x, axis, behind)]
        given = [part for part in parts if part is not None]
        x = writer.call(torch.cat, given, dim=axis) if len(given) > 1 else x
    return (x,)


def _front(writer: GraphWriter, mode: str, x: fx.Node, axis: int, width: Dim) -> fx.Node | None:
    if width == 0:
        return None
    if mode == "edge":
        return writer.method("repeat_interleave", _part(writer, x, axis, 0, 1), writer.size(width), axis)
    return writer.method("flip", _part(writer, x, axis, 1, width), axis)


def _behind(writer: GraphWriter, mode: str, x: fx.Node, axis: int, width: Dim) -> fx.Node | None:
    if width == 0:
        return None
    if mode == "edge":
        return writer.method("repeat_interleave", _part(writer, x, axis, -1, 1), writer.size(width), axis)
    return writer.method("flip", _part(writer, x, axis, -1 - width, width), axis)


def _part(writer: GraphWriter, x: fx.Node, axis: int, start: Dim, length: Dim) -> fx.Node:
    """So many elements along an axis, which must be there; ``start`` may count from the end."""
    return writer.method("narrow", x, axis, writer.size(start), writer.size(length))


@writes(ops.Slice)
def write_slice(op: ops.Slice, writer: GraphWriter, inputs: Inputs, masks: Masks) -> Outputs:
    """``x[:, -1]``, ``x[:, 1:-1, None]``; torch goes backwards by ``flip`` alone."""
    (x,), axes = inputs, [item for item in op.items if item is not None]
    backwards = [axis for axis, item in enumerate(axes) if isinstance(item, tuple) and item[2] < 0]
    if backwards:
        x = writer.method("flip", x, *backwards)
    index = tuple(_index(writer, item) for item in op.items)
    if all(item == slice(None) for item in index):
        return (x if backwards else _itself(writer, x),)
    return (writer.call(operator.getitem, x, index[0] if len(index) == 1 else index),)


def _index(writer: GraphWriter, item: int | Cut | None) -> Any:
    if not isinstance(item, tuple):
        return item
    start, stop, step = turned(item) if item[2] < 0 else item
    front, end = (None if bound is None else writer.size(bound) for bound in (start, stop))
    return slice(None if front == 0 else front, end, None if step == 1 else step)


def _itself(writer: GraphWriter, x: fx.Node) -> fx.Node:
    """``x[:]``: nothing to do, which is a statement all the same."""
    return writer.call(operator.getitem, x, slice(None)) if writer.rank() else writer.method("clone", x)


@writes(ops.Stack)
def write_stack(op: ops.Stack, writer: GraphWriter, inputs: Inputs, masks: Masks) -> Outputs:
    """``torch.stack([a, b], dim=1)``."""
    return (writer.call(torch.stack, inputs, dim=op.axis),)


@writes(ops.Split)
def write_split(op: ops.Split, writer: GraphWriter, inputs: Inputs, masks: Masks) -> Outputs:
    """``x.split([4, 4], -1)``."""
    axis = op.axis % writer.rank()
    parts = [part.shape[axis] for part in op.infer([writer.tensor()])]
    return _each(writer, writer.method("split", inputs[0], list(writer.sizes(parts)), op.axis), len(parts))


@writes(ops.Unstack)
def write_unstack(op: ops.Unstack, writer: GraphWriter, inputs: Inputs, masks: Masks) -> Outputs:
    """``x.unbind(1)``; along a size that varies a split, which must come out even."""
    if isinstance(writer.tensor().shape[op.axis], int):
        return _each(writer, writer.method("unbind", inputs[0], op.axis), op.count)
    parts = _each(writer, writer.method("split", inputs[0], [1] * op.count, op.axis), op.count)
    return tuple(writer.method("squeeze", part, op.axis) for part in parts)


def _each(writer: GraphWriter, parts: fx.Node, count: int) -> tuple[fx.Node, ...]:
    return tuple(writer.call(operator.getitem, parts, position) for position in range(count))
