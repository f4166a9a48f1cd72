"""The same numbers in another shape or order."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

from biport import ops
from biport.dims import Dim, is_length, length, longest, product, shortest
from biport.ops.shaping import WHOLE, Cut
from torch_side.reading.aten_call import AtenCall
from torch_side.reading.sizes import is_negative
from torch_side.registry import reads_aten

END = 2**63 - 1
"""What torch has for the end of a slice that has none."""


def reshaped(call: AtenCall, x: str, shape: Sequence[Dim]) -> str:
    """A value in another shape, of which no size is -1."""
    own, shape = call.tensor(x).shape, tuple(shape)
    if own == shape:
        return x
    if len(shape) == 2 < len(own) and own[0] == shape[0] and not isinstance(own[0], int) and 1 not in own:
        return call.apply(ops.Flatten(), x)
    return call.apply(ops.ReshapeTo(shape=shape), x)


def broadcast(call: AtenCall, x: str, shape: Sequence[Dim]) -> str:
    """A value stretched to a shape."""
    shape = tuple(shape)
    return x if call.tensor(x).shape == shape else call.apply(ops.BroadcastTo(shape=shape), x)


def cut(call: AtenCall, x: str, axis: int, item: int | Cut) -> str:
    """``x[..., item]`` at an axis."""
    return x if item == WHOLE else call.apply(ops.Slice(items=(*[WHOLE] * axis, item)), x)


def permuted(call: AtenCall, x: str, axes: Sequence[int]) -> str:
    """The axes in another order."""
    axes = tuple(axes)
    return x if axes == tuple(range(len(axes))) else call.apply(ops.PermuteDims(axes=axes), x)


def joined(call: AtenCall, parts: Sequence[str], axis: int) -> str:
    """Parts side by side along an axis."""
    if len(parts) == 1:
        return parts[0]
    rank = call.rank(parts[0])
    return call.apply(ops.Concatenate(axis=-1 if axis == rank - 1 else axis), *parts)


def along(call: AtenCall, x: str, axis: int, rank: int) -> str:
    """A vector that broadcasts along an axis of that many."""
    behind = rank - 1 - axis
    return x if not behind else call.apply(ops.ExpandDims(axes=tuple(range(1, behind + 1))), x)


@reads_aten("view.default", "reshape.default", "_unsafe_view.default", "flatten.using_ints", "unflatten.int",
            "_reshape_copy.default", "view_copy.default")  # fmt: skip
def read_view(call: AtenCall) -> str:
    """The shape that is asked for; where that leaves a size open, the one that torch says it has."""
    asked = call.arguments.get("size", call.arguments.get("shape"))
    said = asked is not None and -1 not in asked
    return reshaped(call, call.value("self"), call.sizes(asked) if said else call.result_shape)


@reads_aten("clone.default", "contiguous.default", "alias.default", "detach.default", "detach_.default",
            "lift_fresh_copy.default", "lift_fresh.default", "lift.default",
            "resolve_conj.default", "resolve_neg.default")  # fmt: skip
def read_same(call: AtenCall) -> str:
    """The value itself."""
    return call.value(call.node.args[0])


@reads_aten("transpose.int", "permute.default", "t.default", "numpy_T.default", "mT.default")  # fmt: skip
def read_permute(call: AtenCall) -> str:
    """``x.transpose(1, 2)``, ``x.permute(2, 0, 1)``, ``x.t()``."""
    x = call.value("self")
    rank = call.rank(x)
    axes = list(range(rank))
    if call.name == "permute":
        axes = [axis % rank for axis in call["dims"]]
    elif call.name == "transpose":
        one, two = call["dim0"] % max(rank, 1), call["dim1"] % max(rank, 1)
        if rank:
            axes[one], axes[two] = two, one
    else:
        axes.reverse()
    return permuted(call, x, axes)


@reads_aten("unsqueeze.default")
def read_unsqueeze(call: AtenCall) -> str:
    """``x.unsqueeze(1)``."""
    x = call.value("self")
    return call.apply(ops.ExpandDims(axes=(call["dim"] % (call.rank(x) + 1),)), x)


@reads_aten("squeeze.dim", "squeeze.dims", "squeeze.default")
def read_squeeze(call: AtenCall) -> str:
    """Axes of size 1 taken away; torch leaves others in place, and so does the graph one that varies."""
    x = call.value("self")
    shape, asked = call.known("self").shape, call.axes(x)
    varying = [str(size) for axis in asked if not isinstance(size := call.size(shape[axis]), int)]
    if varying:
        call.note(f"squeeze leaves {', '.join(varying)} in place, which torch takes away where it is 1")
    axes = tuple(axis for axis in asked if call.size(shape[axis]) == 1)
    return call.apply(ops.Squeeze(axes=axes), x) if axes else x


@reads_aten("expand.default", "expand_as.default", "broadcast_to.default")
def read_expand(call: AtenCall) -> str:
    """``x.expand(n, t, 4)``."""
    return broadcast(call, call.value("self"), call.result_shape)


@reads_aten("broadcast_tensors.default")
def read_broadcast_tensors(call: AtenCall) -> tuple[str, ...]:
    """``torch.broadcast_tensors(a, b)``."""
    return tuple(
        broadcast(call, value, call.sizes(result.shape))
        for value, result in zip(call.values("tensors"), call.results, strict=True)
    )


@reads_aten("meshgrid.default", "meshgrid.indexing")
def read_meshgrid(call: AtenCall) -> tuple[str, ...]:
    """``torch.meshgrid(a, b, indexing="ij")``."""
    grids = []
    turned = call.arguments.get("indexing") == "xy"
    for number, (value, result) in enumerate(zip(call.values("tensors"), call.results, strict=True)):
        axis = 1 - number if turned and number < 2 and len(call.results) > 1 else number
        vector = reshaped(call, value, [product(call.tensor(value).shape)])
        wide = along(call, vector, axis, len(call.results))
        grids.append(broadcast(call, wide, call.sizes(result.shape)))
    return tuple(grids)


@reads_aten("repeat.default", "tile.default")
def read_repeat(call: AtenCall) -> str:
    """``x.repeat(1, 3, 1)``, ``x.tile(2)``."""
    x = call.value("self")
    counts = call.sizes("repeats" if call.name == "repeat" else "dims")
    counts = (*[1] * (call.rank(x) - len(counts)), *counts)
    return call.apply(ops.Tile(repetitions=counts), x)


@reads_aten("repeat_interleave.self_int")
def read_repeat_interleave(call: AtenCall) -> str:
    """``x.repeat_interleave(3, dim=1)``; without an axis of all elements in a row."""
    x, repeats = call.value("self"), call.size("repeats")
    if call["dim"] is None:
        x = reshaped(call, x, [product(call.tensor(x).shape)])
    axis = call.axis(x) if call["dim"] is not None else 0
    if isinstance(repeats, int) and repeats > 0:
        return x if repeats == 1 else call.apply(ops.Repeat(repeats=repeats, axis=axis), x)
    shape = list(call.tensor(x).shape)
    wide = call.apply(ops.ExpandDims(axes=(axis + 1,)), x)
    return reshaped(
        call, broadcast(call, wide, [*shape[: axis + 1], repeats, *shape[axis + 1 :]]), call.result_shape
    )


@reads_aten("slice.Tensor")
def read_slice(call: AtenCall) -> str:
    """``x[:, 1:-1]``, one axis at a time."""
    x = call.value("self")
    axis = call.axis(x)
    return cut(call, x, axis, slice_cut(call, call.tensor(x).shape[axis]))


def slice_cut(call: AtenCall, size: Dim) -> Cut:
    """Where a slice of an axis of that size begins and ends, and its step."""
    start, stop = _bound(call, call["start"], size), _bound(call, call["end"], size)
    start = None if start == 0 else start
    return start, None if stop == size else stop, call["step"]


def _bound(call: AtenCall, bound: object, size: Dim) -> Dim | None:
    """Where a slice begins or ends, where that is a number or a size that is not below 0."""
    if bound is None:
        return None
    where = call.size(bound)
    if isinstance(where, int):
        return size if where >= END else where
    if is_negative(call.known(bound), call.owner):
        return longest(where + size, 0)
    return where if is_length(where) else longest(where, 0)


@reads_aten("select.int")
def read_select(call: AtenCall) -> str:
    """``x[:, -1]``."""
    x = call.value("self")
    axis = call.axis(x)
    where = position(call, call.tensor(x).shape[axis])
    if isinstance(where, int):
        return cut(call, x, axis, where)
    return call.apply(ops.Squeeze(axes=(axis,)), cut(call, x, axis, (where, where + 1, 1)))


def position(call: AtenCall, size: Dim) -> Dim:
    """An index of one element: a number, which may count from the end, or a size that is not below 0."""
    where = call.size("index")
    if isinstance(where, int):
        return where
    if is_negative(call.known("index"), call.owner):
        where = where + size
    behind = where - size
    if isinstance(behind, int) and behind < 0:
        return behind
    return where if is_length(where) else longest(where, 0)


@reads_aten("split.Tensor", "split_with_sizes.default", "unsafe_split.Tensor", "chunk.default",
            "unsafe_split_with_sizes.default", "tensor_split.sections", "split.sizes",
            "unsafe_chunk.default")  # fmt: skip
def read_split(call: AtenCall) -> tuple[str, ...]:
    """``x.split(4, dim=-1)``, ``x.chunk(2, dim=1)``."""
    x = call.value("self")
    axis = call.axis(x)
    sizes = [call.size(part.shape[axis]) for part in call.results]
    if len(sizes) == 1:
        return (x,)
    if all(isinstance(size, int) for size in sizes):
        return call.emit(ops.Split(sizes=tuple(sizes), axis=axis), x)  # type: ignore[arg-type]
    starts = [sum(sizes[:number]) for number in range(len(sizes) + 1)]
    return tuple(cut(call, x, axis, (start, stop, 1)) for start, stop in itertools.pairwise(starts))


@reads_aten("unbind.int")
def read_unbind(call: AtenCall) -> tuple[str, ...]:
    """``x.unbind(1)``, also what a loop over a tensor is."""
    x = call.value("self")
    return call.emit(ops.Unstack(count=len(call.results), axis=call.axis(x)), x)


@reads_aten("flip.default", "fliplr.default", "flipud.default")
def read_flip(call: AtenCall) -> str:
    """``x.flip(1)``."""
    x = call.value("self")
    axes = {"fliplr": (1,), "flipud": (0,)}.get(call.name)
    axes = axes or tuple(axis % call.rank(x) for axis in call["dims"])
    return call.apply(ops.Flip(axes=axes), x) if axes else x


@reads_aten("rot90.default")
def read_rot90(call: AtenCall) -> str:
    """``torch.rot90(x, 1, (1, 2))``."""
    x = call.value("self")
    one, two = (axis % call.rank(x) for axis in call["dims"])
    quarters = call["k"] % 4
    mirrored = {0: (), 1: (two,), 2: (one, two), 3: (one,)}[quarters]
    x = call.apply(ops.Flip(axes=mirrored), x) if mirrored else x
    axes = list(range(call.rank(x)))
    if quarters % 2:
        axes[one], axes[two] = two, one
    return permuted(call, x, axes)


@reads_aten("roll.default")
def read_roll(call: AtenCall) -> str:
    """``x.roll(1, dims=1)``; without axes of all elements in a row."""
    x = call.value("self")
    shape, axes = call.tensor(x).shape, call["dims"]
    x = x if axes else reshaped(call, x, [product(shape)])
    for shift, axis in zip(call["shifts"], axes or [0], strict=True):
        x = _rolled(call, x, call.size(shift), axis % max(call.rank(x), 1))
    return x if axes else reshaped(call, x, shape)


def _rolled(call: AtenCall, x: str, shift: Dim, axis: int) -> str:
    if isinstance(shift, int):
        return call.apply(ops.Roll(shift=shift, axis=axis), x)
    size = call.tensor(x).shape[axis]
    first = (size - shift % size) % size if shift != size - 1 else 1
    behind = cut(call, x, axis, (longest(first, 0), None, 1))
    return joined(call, [behind, cut(call, x, axis, (0, longest(first, 0), 1))], axis)


@reads_aten("pad.default", "constant_pad_nd.default", "reflection_pad1d.default", "replication_pad1d.default")
def read_pad(call: AtenCall) -> str:
    """``F.pad(x, (0, 0, 1, 1))``: the last axis first; negative widths cut."""
    x = call.value("self")
    given = call["pad" if "pad" in call.arguments else "padding"]
    mode = {"reflection_pad1d": "reflect", "replication_pad1d": "replicate"}.get(call.name)
    mode = mode or call.arguments.get("mode", "constant")
    widths: list[tuple[Dim, Dim]] = [(0, 0)] * call.rank(x)
    for number in range(len(given) // 2):
        axis = call.rank(x) - 1 - number
        front, behind = call.sizes(given[2 * number : 2 * number + 2])
        x, widths[axis] = _cut_for_padding(call, x, axis, front, behind)
    if all(pair == (0, 0) for pair in widths):
        return x
    if mode == "circular":
        return _circular(call, x, widths)
    value = float(call.arguments.get("value") or 0) if mode == "constant" else 0.0
    mode = {"replicate": "edge"}.get(mode, mode)
    return call.apply(ops.Pad(widths=tuple(widths), mode=mode, value=value), x)


def _cut_for_padding(
    call: AtenCall, x: str, axis: int, front: Dim, behind: Dim
) -> tuple[str, tuple[Dim, Dim]]:
    """What is left of a tensor where widths are negative, and the widths where they are not."""
    first, last = longest(-front, 0), longest(-behind, 0)
    if (first, last) != (0, 0):
        stop = None if last == 0 else longest(call.tensor(x).shape[axis] - last, 0)
        x = cut(call, x, axis, (first, stop, 1))
    return x, (length(front), length(behind))


def _circular(call: AtenCall, x: str, widths: Sequence[tuple[Dim, Dim]]) -> str:
    for axis, (front, behind) in enumerate(widths):
        size = call.tensor(x).shape[axis]
        parts = [] if front == 0 else [cut(call, x, axis, (longest(size - front, 0), None, 1))]
        parts += [x] if behind == 0 else [x, cut(call, x, axis, (0, behind, 1))]
        x = joined(call, parts, axis)
    return x


@reads_aten("unfold.default")
def read_unfold(call: AtenCall) -> str:
    """``x.unfold(1, 3, 1)``: windows along an axis, each at the end."""
    x = call.value("self")
    axis = call.arguments["dimension"] % call.rank(x)
    count = call.result_shape[axis]
    starts = call.apply(ops.Arange(stop=count), name=None)
    starts = call.compute("multiply", starts, call.like(call["step"], starts))
    within = call.apply(ops.Arange(stop=call.size("size")))
    indices = call.compute("add", along(call, starts, 0, 2), within)
    windows = call.apply(ops.Take(axis=axis), x, indices)
    rank = call.rank(windows)
    return permuted(call, windows, [*(a for a in range(rank) if a != axis + 1), axis + 1])


@reads_aten("tril.default", "triu.default")
def read_triangle(call: AtenCall) -> str:
    """``torch.triu(x, diagonal=1)``: zeros on the other side of a diagonal."""
    x = call.value("self")
    rows, columns = call.tensor(x).shape[-2:]
    first = call.size("diagonal")
    below = along(call, call.apply(ops.Arange(start=first, stop=first + rows)), 0, 2)
    kept = "less_equal" if call.name == "tril" else "greater_equal"
    mask = call.compute(kept, call.apply(ops.Arange(stop=columns)), below)
    return call.apply(ops.Where(), mask, x, call.like(0, x))


@reads_aten("diagonal.default")
def read_diagonal(call: AtenCall) -> str:
    """``torch.diagonal(x, offset, dim1, dim2)``."""
    x = call.value("self")
    one, two = call.axis(x, "dim1"), call.axis(x, "dim2")
    x = permuted(call, x, [*(a for a in range(call.rank(x)) if a not in (one, two)), one, two])
    return diagonal_of(call, x, call["offset"])


def diagonal_of(call: AtenCall, x: str, offset: int) -> str:
    """A diagonal of the last two axes."""
    rank = call.rank(x)
    first = max(-offset, 0)
    height, width = call.tensor(x).shape[-2:]
    count = longest(shortest(height - first, width - max(offset, 0)), 0)
    rows = x if call.tensor(x).shape[-2] == count else cut(call, x, rank - 2, (first, first + count, 1))
    columns = call.apply(ops.Arange(start=max(offset, 0), stop=max(offset, 0) + count))
    indices = call.apply(ops.ExpandDims(axes=(*range(rank - 2), rank - 1)), columns)
    return call.apply(
        ops.Squeeze(axes=(rank - 1,)), call.apply(ops.TakeAlongAxis(axis=rank - 1), rows, indices)
    )


@reads_aten("diag.default", "diag_embed.default")
def read_diag(call: AtenCall) -> str:
    """``torch.diag(x)``, ``torch.diag_embed(x)``: vectors as diagonals, or the diagonal of a matrix."""
    x = call.value("self")
    offset = call["diagonal"] if call.name == "diag" else call["offset"]
    if call.name == "diag" and call.rank(x) == 2:
        return diagonal_of(call, x, offset)
    if offset:
        raise call.refuse("offset", offset, "0")
    rank = call.rank(x)
    if call.name == "diag_embed" and (call["dim1"] % (rank + 1), call["dim2"] % (rank + 1)) != (
        rank - 1,
        rank,
    ):
        raise call.refuse("dim1 and dim2", (call["dim1"], call["dim2"]), "the last two axes")
    numbers = call.apply(ops.Arange(stop=call.tensor(x).shape[-1]))
    mask = call.compute("equal", numbers, along(call, numbers, 0, 2))
    wide = call.apply(ops.ExpandDims(axes=(rank - 1,)), x)
    return call.apply(ops.Where(), mask, wide, call.like(0, x))


@reads_aten("cat.default", "concat.default", "concatenate.default")
def read_cat(call: AtenCall) -> str:
    """``torch.cat([a, b], dim=-1)``; torch leaves out what is empty and of one axis."""
    values = call.values("tensors")
    rank = max(map(call.rank, values))
    values = [value for value in values if call.rank(value) == rank]
    return _joined(call, values, call["dim"] % rank)


def _joined(call: AtenCall, values: Sequence[str], axis: int) -> str:
    return joined(call, [call.cast(value, call.result_dtype) for value in values], axis)


@reads_aten("hstack.default", "vstack.default", "row_stack.default", "dstack.default", "column_stack.default")
def read_hstack(call: AtenCall) -> str:
    """``torch.hstack([a, b])`` and the like, of what has too few axes with axes of size 1."""
    values = [_widened(call, value) for value in call.values("tensors")]
    axis = {"vstack": 0, "row_stack": 0, "dstack": 2}.get(call.name, 1)
    return _joined(call, values, min(axis, call.rank(values[0]) - 1))


def _widened(call: AtenCall, x: str) -> str:
    shape = call.tensor(x).shape
    rank = len(shape)
    new: dict[str, Callable[[], tuple[int, ...]]] = {
        "hstack": lambda: () if rank else (0,),
        "column_stack": lambda: () if rank > 1 else tuple(range(rank, 2)),
        "dstack": lambda: {0: (0, 1, 2), 1: (0, 2), 2: (2,)}.get(rank, ()),
    }
    axes = new.get(call.name, lambda: tuple(range(max(2 - rank, 0))))()
    return call.apply(ops.ExpandDims(axes=axes), x) if axes else x


@reads_aten("stack.default")
def read_stack(call: AtenCall) -> str:
    """``torch.stack([a, b], dim=1)``."""
    values = [call.cast(value, call.result_dtype) for value in call.values("tensors")]
    return call.apply(ops.Stack(axis=call["dim"] % (call.rank(values[0]) + 1)), *values)


MOST_PARTS = 512
"""Elements along an axis that are written one by one."""


@reads_aten("select_scatter.default")
def read_select_scatter(call: AtenCall) -> str:
    """What ``out[:, t] = h`` leaves: all of ``out`` but one element along an axis.

    Where the axis is of a fixed size, the elements of it are stacked: a loop that fills it leaves one stack.
    """
    x, source = call.value("self"), call.cast(call.value("src"), call.result_dtype)
    axis = call.axis(x)
    size = call.tensor(x).shape[axis]
    where = position(call, size)
    if isinstance(size, int) and isinstance(where, int) and size <= MOST_PARTS:
        parts = _elements(call, x, axis, size)
        parts[where] = source
        return call.apply(ops.Stack(axis=axis), *parts)
    where = where if not isinstance(where, int) or where >= 0 else where + size
    numbers = along(call, call.apply(ops.Arange(stop=size)), axis, call.rank(x))
    mask = call.compute("equal", numbers, call.apply(ops.SizeOf(size=where)))
    return call.apply(ops.Where(), mask, call.apply(ops.ExpandDims(axes=(axis,)), source), x)


def _elements(call: AtenCall, x: str, axis: int, size: int) -> list[str]:
    maker = call.reader.maker(x)
    if maker is not None and isinstance(maker.op, ops.Stack) and maker.op.axis == axis:
        return list(maker.inputs)
    return list(call.emit(ops.Unstack(count=size, axis=axis), x))


@reads_aten("slice_scatter.default")
def read_slice_scatter(call: AtenCall) -> str:
    """What ``out[:, 1:] = x`` leaves: all of ``out`` but a slice."""
    x, source = call.value("self"), call.cast(call.value("src"), call.result_dtype)
    axis = call.axis(x)
    size = call.tensor(x).shape[axis]
    start, stop, step = slice_cut(call, size)
    if start is None and stop is None and step == 1:
        return source
    fixed = (start is None or isinstance(start, int)) and (stop is None or isinstance(stop, int))
    if isinstance(size, int) and fixed:
        written = range(*slice(start, stop, step).indices(size))  # type: ignore[arg-type]
        return _joined_around(call, x, source, axis, written)
    first = _from_front(start or 0, size)
    last = size if stop is None else _from_front(stop, size)
    numbers = call.apply(ops.Arange(stop=size))
    behind = call.compute("subtract", numbers, call.apply(ops.SizeOf(size=first)))
    inside = call.compute(
        "logical_and",
        call.compute("greater_equal", behind, call.like(0, behind)),
        call.compute("less", numbers, call.apply(ops.SizeOf(size=last))),
    )
    if step != 1:
        rest = call.compute("remainder", behind, call.like(step, behind))
        inside = call.compute("logical_and", inside, call.compute("equal", rest, call.like(0, rest)))
        behind = call.compute("floor_divide", behind, call.like(step, behind))
    end = call.apply(ops.SizeOf(size=call.tensor(source).shape[axis] - 1))
    within = call.compute("minimum", call.compute("maximum", behind, call.like(0, behind)), end)
    moved = call.apply(ops.Take(axis=axis), source, within)
    return call.apply(ops.Where(), along(call, inside, axis, call.rank(x)), moved, x)


def _from_front(bound: Dim, size: Dim) -> Dim:
    return longest(bound + size, 0) if isinstance(bound, int) and bound < 0 else bound


def _joined_around(call: AtenCall, x: str, source: str, axis: int, written: range) -> str:
    """A source in place of some elements of an axis of a fixed size."""
    size: Any = call.tensor(x).shape[axis]
    if not written:
        return x
    if written.step > 1 and len(written) > 1:
        parts, own = _elements(call, x, axis, size), _elements(call, source, axis, len(written))
        for index, part in zip(written, own, strict=True):
            parts[index] = part
        return call.apply(ops.Stack(axis=axis), *parts)
    front = [cut(call, x, axis, (None, written[0], 1))] if written[0] else []
    behind = [cut(call, x, axis, (written[-1] + 1, None, 1))] if written[-1] + 1 < size else []
    return joined(call, [*front, source, *behind], axis)
