"""Operations that move elements -> ``keras.ops``; read in `keras_side.reading.operations`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise
from typing import Any

from biport import ops
from biport.dims import Dim
from biport.ops.shaping import Cut, turned
from keras_side.records import WrittenOperation
from keras_side.registry import writes


@writes(ops.ReshapeTo)
def write_reshape_to(op: ops.ReshapeTo) -> WrittenOperation:
    """Write ``keras.ops.reshape``."""
    return reshaped(op.shape)


def reshaped(shape: Sequence[Dim]) -> WrittenOperation:
    """A reshape to sizes of which one may be -1."""

    def apply(keras: Any, x: Any, dims: Any = ()) -> Any:
        return keras.ops.reshape(x, tuple(dims))

    return WrittenOperation(apply, shape)


@writes(ops.PermuteDims)
def write_permute_dims(op: ops.PermuteDims) -> WrittenOperation:
    """Write ``keras.ops.transpose``."""

    def apply(keras: Any, x: Any) -> Any:
        return keras.ops.transpose(x, op.axes)

    return WrittenOperation(apply)


@writes(ops.ExpandDims)
def write_expand_dims(op: ops.ExpandDims) -> WrittenOperation:
    """Write ``keras.ops.expand_dims``."""

    def apply(keras: Any, x: Any) -> Any:
        return keras.ops.expand_dims(x, axis=op.axes[0] if len(op.axes) == 1 else op.axes)

    return WrittenOperation(apply)


@writes(ops.Squeeze)
def write_squeeze(op: ops.Squeeze) -> WrittenOperation:
    """Write ``keras.ops.squeeze``."""

    def apply(keras: Any, x: Any) -> Any:
        if any(x.shape[axis] is None for axis in op.axes):
            # Keras does not know of the size of 1, behind a recurrent layer say.
            return x[tuple(0 if axis in op.axes else slice(None) for axis in range(len(x.shape)))]
        return keras.ops.squeeze(x, axis=op.axes[0] if len(op.axes) == 1 else op.axes)

    return WrittenOperation(apply)


@writes(ops.BroadcastTo)
def write_broadcast_to(op: ops.BroadcastTo) -> WrittenOperation:
    """Write ``keras.ops.broadcast_to``."""

    def apply(keras: Any, x: Any, dims: Any = ()) -> Any:
        return keras.ops.broadcast_to(x, tuple(dims))

    return WrittenOperation(apply, op.shape)


@writes(ops.Tile)
def write_tile(op: ops.Tile) -> WrittenOperation:
    """Write ``keras.ops.tile``."""

    def apply(keras: Any, x: Any, dims: Any = ()) -> Any:
        return keras.ops.tile(x, tuple(dims))

    return WrittenOperation(apply, op.repetitions)


@writes(ops.Repeat)
def write_repeat(op: ops.Repeat) -> WrittenOperation:
    """Write ``keras.ops.repeat``."""

    def apply(keras: Any, x: Any) -> Any:
        return keras.ops.repeat(x, op.repeats, axis=op.axis)

    return WrittenOperation(apply)


@writes(ops.Flip)
def write_flip(op: ops.Flip) -> WrittenOperation:
    """Write ``keras.ops.flip``."""

    def apply(keras: Any, x: Any) -> Any:
        return keras.ops.flip(x, axis=op.axes)

    return WrittenOperation(apply)


@writes(ops.Roll)
def write_roll(op: ops.Roll) -> WrittenOperation:
    """Write ``keras.ops.roll``."""

    def apply(keras: Any, x: Any) -> Any:
        return keras.ops.roll(x, op.shift, axis=op.axis)

    return WrittenOperation(apply)


@writes(ops.Pad)
def write_pad(op: ops.Pad) -> WrittenOperation:
    """Write ``keras.ops.pad``; TensorFlow cannot repeat the edge, which is joined to the ends."""

    def apply(keras: Any, x: Any, dims: Sequence[Any] = ()) -> Any:
        widths = list(zip(dims[::2], dims[1::2], strict=True))
        if op.mode == "edge":
            return _with_edges(keras, x, widths)
        if op.mode == "reflect":
            return keras.ops.pad(x, widths, mode="reflect")
        value = bool(op.value) if keras.backend.standardize_dtype(x.dtype) == "bool" else op.value
        return keras.ops.pad(x, widths, mode="constant", constant_values=value)

    return WrittenOperation(apply, [width for pair in op.widths for width in pair])


def _with_edges(keras: Any, x: Any, widths: Sequence[tuple[Any, Any]]) -> Any:
    for axis, (front, behind) in enumerate(widths):
        before = (slice(None),) * axis
        parts = [x]
        if not isinstance(front, int) or front:
            parts = [keras.ops.repeat(x[(*before, slice(None, 1))], front, axis=axis), *parts]
        if not isinstance(behind, int) or behind:
            parts = [*parts, keras.ops.repeat(x[(*before, slice(-1, None))], behind, axis=axis)]
        x = keras.ops.concatenate(parts, axis=axis) if len(parts) > 1 else x
    return x


@writes(ops.Slice)
def write_slice(op: ops.Slice) -> WrittenOperation:
    """Write square brackets; not every backend goes backwards with them, so that it is flipped then."""
    cuts = [turned(item) if isinstance(item, tuple) and item[2] < 0 else item for item in op.items]
    bounds = [bound for cut in cuts if isinstance(cut, tuple) for bound in cut[:2] if bound is not None]
    axes = [item for item in op.items if item is not None]
    backwards = tuple(axis for axis, item in enumerate(axes) if isinstance(item, tuple) and item[2] < 0)

    def apply(keras: Any, x: Any, dims: Sequence[Any] = ()) -> Any:
        left = iter(dims)
        index = tuple(_cut(cut, left) if isinstance(cut, tuple) else cut for cut in cuts)
        x = keras.ops.flip(x, axis=backwards) if backwards else x
        return x if all(item == slice(None, None, 1) for item in index) and backwards else x[index]

    return WrittenOperation(apply, bounds)


def _cut(cut: Cut, dims: Iterator[Any]) -> slice:
    """A cut whose bounds are the next sizes that were computed."""
    start, stop = (None if bound is None else next(dims) for bound in cut[:2])
    return slice(start, stop, cut[2])


@writes(ops.Stack)
def write_stack(op: ops.Stack) -> WrittenOperation:
    """Write ``keras.ops.stack``."""

    def apply(keras: Any, *parts: Any) -> Any:
        return keras.ops.stack(parts, axis=op.axis)

    return WrittenOperation(apply)


@writes(ops.Split)
def write_split(op: ops.Split) -> WrittenOperation:
    """Write ``keras.ops.split``, or of a size that varies its elements, of which none may be missing."""

    def apply(keras: Any, x: Any) -> Any:
        sizes, size = list(op.sizes), x.shape[op.axis]
        known = sum(part for part in sizes if part != -1)
        if size is None:
            return _parts_of_varying(keras, x, op, known)
        ends = list(accumulate(size - known if part == -1 else part for part in sizes))
        # One part would be no split, and an operation that gives one output no list.
        return keras.ops.split(x, ends[:-1], axis=op.axis) if len(sizes) > 1 else [x + 0]

    return WrittenOperation(apply)


def _parts_of_varying(keras: Any, x: Any, op: ops.Split, known: int) -> list[Any]:
    axis = op.axis % len(x.shape)
    before = (slice(None),) * axis
    rest = op.sizes.index(-1) if -1 in op.sizes else len(op.sizes)
    front = x[(*before, slice(None, known))] if -1 in op.sizes else x
    elements: Any = keras.ops.unstack(front, num=known, axis=axis) if known else []
    ends = [0, *accumulate(part for part in op.sizes if part != -1)]
    parts = [
        keras.ops.stack(elements[start:end], axis=axis) if start < end else x[(*before, slice(0, 0))]
        for start, end in pairwise(ends)
    ]
    behind = known - ends[rest]
    if -1 not in op.sizes:
        return parts
    return [
        *parts[:rest],
        x[(*before, slice(ends[rest], -behind or None))],
        *(x[(*before, slice(start - known, (end - known) or None))] for start, end in pairwise(ends[rest:])),
    ]


@writes(ops.Unstack)
def write_unstack(op: ops.Unstack) -> WrittenOperation:
    """Write ``keras.ops.unstack``."""

    def apply(keras: Any, x: Any) -> Any:
        return keras.ops.unstack(x, num=op.count, axis=op.axis)

    return WrittenOperation(apply)
